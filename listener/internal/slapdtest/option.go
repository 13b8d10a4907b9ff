package slapdtest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Option changes how a server is set up.
type Option func(*options)

type options struct {
	ldif        io.Reader
	empty       bool
	noSyncprov  bool
	sessionLog  int
	checkpoint  string
	memberOf    bool
	sizeLimit   string
	fsync       bool
	log         string
	tls         bool
	kerberos    *Realm
	peers       []string
	port        int
	globalLines []string
	dbLines     []string
}

// WithLDIF loads the database before the first start. The first entry is
// [BaseDN]; what [People] and [Base] return also has [ListenerDN]. Without this
// option the content is [Base].
func WithLDIF(r io.Reader) Option { return func(o *options) { o.ldif = r } }

// Empty leaves the database without any entry.
func Empty() Option { return func(o *options) { o.empty = true } }

// WithoutSyncprov leaves the syncprov overlay out: the server refuses RFC 4533.
func WithoutSyncprov() Option { return func(o *options) { o.noSyncprov = true } }

// SessionLog makes syncprov remember the last n writes, so that a consumer that
// was away is told of deletes. Without it the server uses a present phase.
func SessionLog(n int) Option { return func(o *options) { o.sessionLog = n } }

// Checkpoint makes syncprov write its contextCSN after that many writes or
// minutes. Without it this happens at a clean shutdown only.
func Checkpoint(writes, minutes int) Option {
	return func(o *options) { o.checkpoint = fmt.Sprintf("%d %d", writes, minutes) }
}

// MemberOf adds the memberof overlay.
func MemberOf() Option { return func(o *options) { o.memberOf = true } }

// SizeLimit limits the entries that a search of [ListenerDN] gets. Unlimited
// without it; anonymous and other users get slapd's default of 500.
func SizeLimit(n int) Option { return func(o *options) { o.sizeLimit = fmt.Sprint(n) } }

// Fsync makes every write durable. Without it the system writes when it likes,
// which survives [Server.Kill] but no power failure.
func Fsync() Option { return func(o *options) { o.fsync = true } }

// LogLevel sets what slapd writes to slapd.log, as its -d option takes it; "stats"
// shows every operation.
func LogLevel(level string) Option { return func(o *options) { o.log = level } }

// GlobalConfig adds lines to the global part of slapd.conf (TLS, serverID, ...).
func GlobalConfig(lines ...string) Option {
	return func(o *options) { o.globalLines = append(o.globalLines, lines...) }
}

// DatabaseConfig adds lines to the database's part of slapd.conf, before its
// overlays.
func DatabaseConfig(lines ...string) Option {
	return func(o *options) { o.dbLines = append(o.dbLines, lines...) }
}

// TLS makes the server offer StartTLS and listen for ldaps; see [Server.LDAPS]. It
// trusts client certificates of the same authority and asks for one. A SASL EXTERNAL
// bind with one of [Authority.Client] for the name "listener" is [ListenerDN].
func TLS(a *Authority, c Certificate) Option {
	return func(o *options) {
		o.tls = true
		o.globalLines = append(o.globalLines,
			fmt.Sprintf("TLSCACertificateFile %q", a.CAFile),
			fmt.Sprintf("TLSCertificateFile %q", c.CertFile),
			fmt.Sprintf("TLSCertificateKeyFile %q", c.KeyFile),
			"TLSVerifyClient try",
			fmt.Sprintf(`authz-regexp "^cn=listener$" %q`, ListenerDN))
	}
}

// Kerberos makes the server take tickets for ldap/localhost in the realm. A SASL GSSAPI
// bind as the principal "listener" is [ListenerDN].
func Kerberos(r *Realm) Option {
	return func(o *options) {
		o.kerberos = r
		o.globalLines = append(o.globalLines,
			"sasl-host localhost", "sasl-realm "+r.Name, "sasl-secprops none",
			fmt.Sprintf(`authz-regexp "^uid=listener,(cn=[^,]*,)?cn=gssapi,cn=auth$" %q`, ListenerDN))
	}
}

// OnPort makes the server listen on a port that [FreePort] returned.
func OnPort(port int) Option { return func(o *options) { o.port = port } }

// MultiProvider makes the server one of several that take writes and tell each other:
// number from 1 is its server ID, peers are the addresses of the others, host:port.
// One of them has the content at first, the others are [Empty].
func MultiProvider(number int, peers ...string) Option {
	return func(o *options) {
		o.globalLines = append(o.globalLines, fmt.Sprintf("serverID %d", number))
		o.peers = peers
	}
}

func (o *options) content() io.Reader {
	switch {
	case o.ldif != nil:
		return o.ldif
	case o.empty:
		return nil
	}
	return Base()
}

func (o *options) logLevel() string {
	if o.log == "" {
		return "none" // what is logged whatever the level
	}
	return o.log
}

// config returns the server's slapd.conf.
func (o *options) config(dir string, p Programs) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, schema := range []string{"core", "cosine", "inetorgperson", "nis"} {
		line("include %q", filepath.Join(p.SchemaDir, schema+".schema"))
	}
	line("pidfile %q", filepath.Join(dir, "slapd.pid"))
	line("argsfile %q", filepath.Join(dir, "slapd.args"))
	line("modulepath %q", p.ModulePath)
	line("moduleload back_mdb")
	if !o.noSyncprov {
		line("moduleload syncprov")
	}
	if o.memberOf {
		line("moduleload memberof")
	}
	line(`authz-regexp "gidNumber=[0-9]+\\+uidNumber=%d,cn=peercred,cn=external,cn=auth" %q`, os.Getuid(), ListenerDN)
	for _, l := range o.globalLines {
		line("%s", l)
	}

	line("database mdb")
	line("suffix %q", BaseDN)
	line("rootdn %q", RootDN)
	line("rootpw %q", RootPassword)
	line("directory %q", filepath.Join(dir, "db"))
	line("maxsize %d", 16<<30) // a limit: the file grows as needed
	if !o.fsync {
		line("dbnosync")
	}
	line("index objectClass,entryUUID,entryCSN,uid eq")
	limit := o.sizeLimit
	if limit == "" {
		limit = "unlimited"
	}
	line("limits dn.exact=%q size=%s time=unlimited", ListenerDN, limit)
	line("access to attrs=userPassword by dn.exact=%q read by self write by anonymous auth by * none", ListenerDN)
	line("access to * by * read")
	for _, l := range o.dbLines {
		line("%s", l)
	}
	for i, peer := range o.peers {
		line("syncrepl rid=%03d provider=ldap://%s type=refreshAndPersist retry=\"1 +\" searchbase=%q bindmethod=simple binddn=%q credentials=%q",
			i+1, peer, BaseDN, RootDN, RootPassword)
	}
	if len(o.peers) > 0 {
		line("mirrormode on") // newer ones call it multiprovider, and know this too
	}
	if o.memberOf {
		line("overlay memberof")
	}
	if !o.noSyncprov {
		line("overlay syncprov")
		if o.sessionLog > 0 {
			line("syncprov-sessionlog %d", o.sessionLog)
		}
		if o.checkpoint != "" {
			line("syncprov-checkpoint %s", o.checkpoint)
		}
	}
	return b.String()
}
