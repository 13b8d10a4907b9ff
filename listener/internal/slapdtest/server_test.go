package slapdtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func TestServerKeepsDataAndPort(t *testing.T) {
	s := Start(t, WithLDIF(People(50, 1)), SessionLog(100), Checkpoint(10, 1), MemberOf(), Fsync())
	uri := s.URI()
	conn := s.Client(t)
	before := count(t, conn)
	add := ldap.NewAddRequest("ou=new,"+PeopleDN, nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	if err := conn.Add(add); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	if got := count(t, s.Client(t)); got != before+1 {
		t.Errorf("%d entries after a restart, want %d", got, before+1)
	}
	pid := s.PID()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	s.Restart(t)
	if got := count(t, s.Client(t)); got != before+1 {
		t.Errorf("%d entries after a kill, want %d", got, before+1)
	}
	if s.URI() != uri {
		t.Errorf("URI %s became %s", uri, s.URI())
	}
	s.Load(t, strings.NewReader("dn: ou=loaded,"+PeopleDN+"\nobjectClass: organizationalUnit\nou: loaded\n"))
	if ldif := s.Export(t); !strings.Contains(ldif, "dn: ou=loaded,"+PeopleDN) {
		t.Error("a loaded entry is not in the export")
	}
}

// asPortTaker in the environment makes the test's program take as many ports and print them.
const asPortTaker = "LISTENERD_TEST_TAKES_PORTS"

func TestMain(m *testing.M) {
	n, err := strconv.Atoi(os.Getenv(asPortTaker))
	if err != nil {
		os.Exit(m.Run())
	}
	for range n {
		port, err := FreePort()
		if err != nil {
			panic(err)
		}
		fmt.Println(port)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test has taken its own
}

// A port is handed out once, whichever process asks: a server that is stopped finds its own
// free when it starts again.
func TestPortsAreOnesOwn(t *testing.T) {
	const each = 1000
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(program)
	other.Env = append(os.Environ(), fmt.Sprintf("%s=%d", asPortTaker, each))
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	taken := map[int]bool{}
	for range each {
		var port int
		if _, err := fmt.Fscanln(out, &port); err != nil {
			t.Fatal(err)
		}
		taken[port] = true
	}
	for range each {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		taken[port] = true
	}
	if n := len(taken); n != 2*each {
		t.Errorf("%d different ports, want %d", n, 2*each)
	}
	if err := errors.Join(in.Close(), other.Wait()); err != nil {
		t.Error(err)
	}
}

func TestServerIsAProvider(t *testing.T) {
	s := Start(t)
	conn := s.Client(t)
	root, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"supportedControl"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	const syncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
	if !strings.Contains(fmt.Sprint(root.Entries[0].GetAttributeValues("supportedControl")), syncRequest) {
		t.Error("the sync request control is not supported")
	}
	base, err := conn.Search(ldap.NewSearchRequest(BaseDN, ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"contextCSN"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if base.Entries[0].GetAttributeValue("contextCSN") == "" {
		t.Error("no contextCSN")
	}
}

func TestListenerReadsWithinItsLimit(t *testing.T) {
	s := Start(t, WithLDIF(People(50, 1)), SizeLimit(10))
	conn, err := s.Dial(ListenerDN, ListenerPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Search(everything())
	if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		t.Errorf("error %v, want size limit exceeded", err)
	}
	if err := conn.Del(ldap.NewDelRequest(ListenerDN, nil)); !ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) {
		t.Errorf("error %v, want insufficient access", err)
	}
}

func TestExternalBindOverTheSocketIsTheListener(t *testing.T) {
	s := Start(t)
	conn, err := ldap.DialURL("ldapi://" + s.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.ExternalBind(); err != nil {
		t.Fatal(err)
	}
	who, err := conn.WhoAmI(nil)
	if err != nil {
		t.Fatal(err)
	}
	if who.AuthzID != "dn:"+ListenerDN {
		t.Errorf("bound as %s", who.AuthzID)
	}
}

func TestNewReportsWhatSlapdSays(t *testing.T) {
	_, err := New(tempDir(t), Empty(), GlobalConfig("nonsense"))
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v, want slapd's message", err)
	}
}

func TestPeopleAreDeterministic(t *testing.T) {
	read := func(seed int64) string {
		b, err := io.ReadAll(People(500, seed))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := read(1)
	if one != read(1) {
		t.Error("the same seed gives another tree")
	}
	if one == read(2) {
		t.Error("another seed gives the same tree")
	}
	if n := strings.Count(one, "objectClass: inetOrgPerson\n"); n != 500 {
		t.Errorf("%d people, want 500", n)
	}
}

func TestMemcachedAnswers(t *testing.T) {
	if addr := Memcached(t); !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("address %s", addr)
	}
}

func TestLocateNamesTheCommand(t *testing.T) {
	if err := missing("slapd"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make servers") {
		t.Errorf("error %v", err)
	}
}

func everything() *ldap.SearchRequest {
	return ldap.NewSearchRequest(BaseDN, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}

func count(t *testing.T, conn *ldap.Conn) int {
	t.Helper()
	res, err := conn.Search(everything())
	if err != nil {
		t.Fatal(err)
	}
	return len(res.Entries)
}
