package slapdtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/listenerd/listenerd/listener/internal/process"
)

// The names every server is set up with.
const (
	BaseDN           = "dc=example,dc=com"
	RootDN           = "cn=admin," + BaseDN    // may do everything, no limits; no entry
	ListenerDN       = "cn=listener," + BaseDN // may read everything; an entry of [Base]
	RootPassword     = "admin-secret"
	ListenerPassword = "listener-secret"
)

const (
	startDeadline = 2 * time.Minute
	stopDeadline  = 2 * time.Minute
	maxSocketPath = 100 // sockaddr_un holds 108 octets
)

// Server is one slapd with its configuration and database. Its methods are not
// safe for concurrent use, except for those that only return an address.
type Server struct {
	dir      string
	programs Programs
	opts     options
	port     int
	tlsPort  int              // 0 without TLS
	proc     *process.Process // nil while stopped
}

// New configures a server in dir, loads its content and starts it. dir must exist,
// be empty and have a short path, since it holds the server's Unix socket. The
// caller calls [Server.Stop], then removes dir.
func New(dir string, opts ...Option) (*Server, error) {
	programs, err := Locate()
	if err != nil {
		return nil, err
	}
	if programs.Slapd == "" {
		return nil, missing("slapd")
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, programs: programs}
	for _, o := range opts {
		o(&s.opts)
	}
	if len(s.socket()) > maxSocketPath {
		return nil, fmt.Errorf("path of %s is too long for a Unix socket", s.socket())
	}
	if err := os.Mkdir(s.path("db"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("slapd.conf"), []byte(s.opts.config(dir, programs)), 0o600); err != nil {
		return nil, err
	}
	if content := s.opts.content(); content != nil {
		if err := s.LoadLDIF(content); err != nil {
			return nil, err
		}
	}
	return s, s.startFirst()
}

// startFirst starts the server on ports nobody listens on. Another process may take
// one between the look and the start: then it tries others.
func (s *Server) startFirst() error {
	for attempt := 1; ; attempt++ {
		var err error
		if s.port = s.opts.port; s.port == 0 {
			if s.port, err = FreePort(); err != nil {
				return err
			}
		}
		if s.opts.tls {
			if s.tlsPort, err = FreePort(); err != nil {
				return err
			}
		}
		if err = s.Start(); err == nil || attempt == 5 || !portTaken(s.port) && !(s.opts.tls && portTaken(s.tlsPort)) {
			return err
		}
	}
}

// URI returns the server's ldap:// address.
func (s *Server) URI() string { return "ldap://" + s.Addr() }

// LDAPS returns the ldaps:// address of a server with [TLS].
func (s *Server) LDAPS() string { return "ldaps://" + Loopback(s.tlsPort) }

// Addr returns the server's host:port.
func (s *Server) Addr() string { return Loopback(s.port) }

// LDAPI returns the server's ldapi:// address. A SASL EXTERNAL bind through it by
// the user who runs the test is [ListenerDN].
func (s *Server) LDAPI() string { return "ldapi://" + url.PathEscape(s.socket()) }

// Dir returns the server's directory: slapd.conf, slapd.log, db, ldapi.
func (s *Server) Dir() string { return s.dir }

// PID returns the process ID of the running slapd, 0 while it is stopped.
func (s *Server) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.PID()
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) socket() string          { return s.path("ldapi") }

// Start starts a stopped server again, on the same port and data, and returns when
// it answers.
func (s *Server) Start() error {
	if s.proc != nil {
		return errors.New("slapd is already running")
	}
	listen := s.URI() + "/ " + s.LDAPI() + "/"
	if s.opts.tls {
		listen += " " + s.LDAPS() + "/"
	}
	cmd := exec.Command(s.programs.Slapd, "-f", s.path("slapd.conf"), "-d", s.opts.logLevel(), "-h", listen)
	if s.opts.kerberos != nil {
		cmd.Env = s.opts.kerberos.serverEnv(s.programs)
	}
	proc, err := process.Start(cmd, s.path("slapd.log"))
	if err != nil {
		return fmt.Errorf("start slapd: %w", err)
	}
	if err := proc.WaitReady(s.answers, startDeadline); err != nil {
		return fmt.Errorf("start slapd: %w", err)
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

// Stop ends the server with SIGTERM, as a service manager does, and waits for it.
// On a stopped server it does nothing.
func (s *Server) Stop() error {
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	// A slapd that is stopped while its threads begin to listen stops as it should, and
	// complains (seen on 2.5.13).
	if err := proc.Stop(stopDeadline); err != nil &&
		!(strings.Contains(err.Error(), "listener initialization failed") && strings.HasSuffix(err.Error(), "slapd stopped.")) {
		return fmt.Errorf("stop slapd: %w", err)
	}
	return nil
}

// Crashed tells whether slapd has ended without being told to. It does not count as
// running any more then.
func (s *Server) Crashed() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.Done():
		s.proc = nil
		return true
	default:
		return false
	}
}

// Kill ends the server with SIGKILL and waits for it.
func (s *Server) Kill() error {
	if s.proc == nil {
		return nil
	}
	s.proc.Kill()
	s.proc = nil
	return nil
}

// LoadLDIF adds entries with slapadd, which keeps operational attributes such as
// entryUUID. A running server is stopped for it and started again.
func (s *Server) LoadLDIF(r io.Reader) error {
	running := s.proc != nil
	if err := s.Stop(); err != nil {
		return err
	}
	if err := s.tool(r, io.Discard, "add", "-q", "-w"); err != nil {
		return err
	}
	if running {
		return s.Start()
	}
	return nil
}

// WriteLDIF writes the server's content with slapcat, operational attributes
// included, in the order of the database. The server may be running.
func (s *Server) WriteLDIF(w io.Writer) error { return s.tool(nil, w, "cat") }

func (s *Server) tool(in io.Reader, out io.Writer, name string, args ...string) error {
	var messages bytes.Buffer
	cmd := exec.Command(s.programs.Slapd, append([]string{"-T", name, "-f", s.path("slapd.conf"), "-b", BaseDN}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &messages
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("slap%s: %w: %s", name, err, bytes.TrimSpace(messages.Bytes()))
	}
	return nil
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

// Loopback returns the host:port of a port of the loopback interface.
func Loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
