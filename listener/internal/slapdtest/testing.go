package slapdtest

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// Start starts a server for one test. It is stopped, and its directory removed,
// when the test ends; a failed test shows the end of the server's log. How the server
// ends is no longer the test's concern (slapd 2.5.13 was seen to die of a segmentation
// fault while it shut down) and only logged.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := New(tempDir(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proc := s.proc
		if err := s.Stop(); err != nil {
			t.Log(err)
		}
		if t.Failed() && proc != nil {
			t.Logf("slapd.log: %s", proc.Output())
		}
	})
	return s
}

// Client returns a connection that is bound as [RootDN] and closed at the end of
// the test.
func (s *Server) Client(t testing.TB) *ldap.Conn {
	t.Helper()
	conn, err := s.Dial(RootDN, RootPassword)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Restart stops the server, if it runs, and starts it again on the same port and
// data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// Load is [Server.LoadLDIF] for a test.
func (s *Server) Load(t testing.TB, ldif io.Reader) {
	t.Helper()
	if err := s.LoadLDIF(ldif); err != nil {
		t.Fatal(err)
	}
}

// Restore replaces the content by what [Server.Export] returned earlier, as somebody
// does who restores a backup. A server that ran is started again.
func (s *Server) Restore(t testing.TB, ldif string) {
	t.Helper()
	running := s.proc != nil
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.path("db")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path("db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Load(t, strings.NewReader(ldif))
	if running {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// Export returns what [Server.WriteLDIF] writes.
func (s *Server) Export(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := s.WriteLDIF(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tempDir is t.TempDir with a path short enough for a socket, whatever the test's
// name is.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "slapd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
