package dirsrvtest

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const (
	startDeadline = 2 * time.Minute
	stopDeadline  = 2 * time.Minute
	maxSocketPath = 100 // sockaddr_un holds 108 octets
)

// Server is one ns-slapd with its configuration and database. Its methods are not
// safe for concurrent use, except for those that only return an address.
type Server struct {
	dir      string
	programs programs
	opts     options
	port     int
	proc     *process.Process // nil while stopped
}

// Option changes how a server is set up.
type Option func(*options)

type options struct {
	noSync   bool
	trimming bool
}

// WithoutSync leaves the Content Synchronization plugin disabled, as it is in a new
// 389 DS: the server refuses RFC 4533.
func WithoutSync() Option { return func(o *options) { o.noSync = true } }

// TrimmedChangelog makes the server forget changes when they are a second old; it
// looks every second. Without it the changelog keeps all.
func TrimmedChangelog() Option { return func(o *options) { o.trimming = true } }

// New configures a server in dir, starts it and adds [slapdtest.BaseDN] and
// [slapdtest.ListenerDN], which may read everything. dir must exist, be empty and
// have a short path, since it holds the server's Unix socket. The caller calls
// [Server.Stop], then removes dir.
func New(dir string, opts ...Option) (*Server, error) {
	p, err := locate()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	self, err := user.Current() // who the server is to be: started by root, it would become somebody else
	if err != nil {
		return nil, fmt.Errorf("ns-slapd runs only as a user that has a name: %w", err)
	}
	s := &Server{dir: dir, programs: p}
	for _, o := range opts {
		o(&s.opts)
	}
	if len(s.socket()) > maxSocketPath {
		return nil, fmt.Errorf("path of %s is too long for a Unix socket", s.socket())
	}
	if err = s.copyFiles(); err != nil {
		return nil, err
	}
	// Another process may take the port between the look and the start.
	for attempt := 1; ; attempt++ {
		if s.port, err = slapdtest.FreePort(); err != nil {
			return nil, err
		}
		if err = s.configure(self.Username); err != nil {
			return nil, err
		}
		if err = s.Start(); err == nil {
			break
		}
		if attempt == 5 || !s.portTaken() {
			return nil, err
		}
	}
	if err := s.fill(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// fill adds the entries that every server has.
func (s *Server) fill() error {
	conn, err := s.Dial(slapdtest.RootDN, slapdtest.RootPassword)
	if err != nil {
		return err
	}
	defer conn.Close()
	base := ldap.NewAddRequest(slapdtest.BaseDN, nil)
	base.Attribute("objectClass", []string{"domain"})
	base.Attribute("dc", []string{"example"})
	base.Attribute("aci", []string{fmt.Sprintf(
		`(targetattr != "userPassword")(version 3.0; acl "listener"; allow (read, search, compare) userdn = "ldap:///%s";)`, slapdtest.ListenerDN)})
	listener := ldap.NewAddRequest(slapdtest.ListenerDN, nil)
	listener.Attribute("objectClass", []string{"organizationalRole", "simpleSecurityObject"})
	listener.Attribute("cn", []string{"listener"})
	listener.Attribute("userPassword", []string{slapdtest.ListenerPassword})
	for _, r := range []*ldap.AddRequest{base, listener} {
		if err := conn.Add(r); err != nil {
			return fmt.Errorf("add %s: %w", r.DN, err)
		}
	}
	return nil
}

// URI returns the server's ldap:// address.
func (s *Server) URI() string { return "ldap://" + s.Addr() }

// Addr returns the server's host:port.
func (s *Server) Addr() string { return slapdtest.Loopback(s.port) }

// Dir returns the server's directory: dse.ldif, log, db, ldapi.
func (s *Server) Dir() string { return s.dir }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) socket() string          { return s.path("ldapi") }

// Start starts a stopped server again, on the same port and data, and returns when
// it answers.
func (s *Server) Start() error {
	if s.proc != nil {
		return errors.New("ns-slapd is already running")
	}
	cmd := exec.Command(s.programs.server, "-D", s.dir, "-i", s.path("pid"), "-d", "0") // -d: stay in the foreground
	proc, err := process.Start(cmd, s.path("ns-slapd.log"))
	if err != nil {
		return fmt.Errorf("start ns-slapd: %w", err)
	}
	if err := proc.WaitReady(s.answers, startDeadline); err != nil {
		return fmt.Errorf("start ns-slapd: %w", err)
	}
	s.proc = proc
	return nil
}

// answers asks over the socket, whose path is the server's own: on the port a
// stranger could answer.
func (s *Server) answers() error {
	conn, err := ldap.DialURL("ldapi://" + s.socket())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases,
		1, 5, false, "(objectClass=*)", []string{"1.1"}, nil))
	return err
}

// portTaken tells whether somebody else has the port of a server that is not running.
func (s *Server) portTaken() bool {
	conn, err := new(net.Dialer).Dial("tcp", s.Addr())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Stop ends the server with SIGTERM, as a service manager does, and waits for it.
// On a stopped server it does nothing.
func (s *Server) Stop() error {
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	if err := proc.Stop(stopDeadline); err != nil {
		return fmt.Errorf("stop ns-slapd: %w", err)
	}
	return nil
}

// Kill ends the server with SIGKILL and waits for it.
func (s *Server) Kill() {
	if s.proc != nil {
		s.proc.Kill()
		s.proc = nil
	}
}

// Dial connects and binds.
func (s *Server) Dial(dn, password string) (*ldap.Conn, error) {
	conn, err := ldap.DialURL(s.URI())
	if err != nil {
		return nil, err
	}
	if err := conn.Bind(dn, password); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
