package dirsrvtest

import (
	"os"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// Start starts a server for one test. It is killed, since a regular end takes seconds,
// and its directory removed, when the test ends. That it ended before is an error; a
// failed test shows the end of the server's log.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := New(tempDir(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.proc == nil {
			return
		}
		select {
		case <-s.proc.Done():
			t.Errorf("ns-slapd is gone: %v", s.proc.Err())
		default:
		}
		if t.Failed() {
			t.Logf("ns-slapd: %s", s.proc.Output())
		}
		s.Kill()
	})
	return s
}

// Client returns a connection that is bound as [slapdtest.RootDN] and closed at the
// end of the test.
func (s *Server) Client(t testing.TB) *ldap.Conn {
	t.Helper()
	conn, err := s.Dial(slapdtest.RootDN, slapdtest.RootPassword)
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

// tempDir is t.TempDir with a path short enough for a socket, whatever the test's
// name is.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dirsrv")
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
