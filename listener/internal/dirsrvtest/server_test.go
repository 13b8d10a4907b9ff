package dirsrvtest

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

func TestServerIsReadyForSynchronization(t *testing.T) {
	s := Start(t)
	found, err := s.Client(t).Search(rootDSE())
	if err != nil {
		t.Fatal(err)
	}
	dse := found.Entries[0]
	if v := dse.GetAttributeValue("vendorName"); v != "389 Project" {
		t.Errorf("vendor %q", v)
	}
	if !slices.Contains(dse.GetAttributeValues("supportedControl"), "1.3.6.1.4.1.4203.1.9.1.1") {
		t.Error("no sync control")
	}
	if v := dse.GetAttributeValue("lastChangeNumber"); v != "2" {
		t.Errorf("the changelog's last change is %q, want the second of two", v)
	}
	listener, err := s.Dial(slapdtest.ListenerDN, slapdtest.ListenerPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	found, err = listener.Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, 0, 0, 0, false,
		"(objectClass=*)", []string{"*", "+"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Entries) != 2 || found.Entries[1].GetAttributeValue("nsUniqueId") == "" ||
		found.Entries[1].GetAttributeValue("userPassword") != "" {
		t.Errorf("the listener sees %d entries", len(found.Entries))
		found.PrettyPrint(0)
	}
}

func TestRestartKeepsPortAndData(t *testing.T) {
	s := Start(t)
	uri := s.URI()
	s.Restart(t)
	if s.URI() != uri {
		t.Errorf("address %s, was %s", s.URI(), uri)
	}
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	found, err := s.Client(t).Search(rootDSE())
	if err != nil || found.Entries[0].GetAttributeValue("lastChangeNumber") != "2" {
		t.Errorf("%v, %v", found, err)
	}
}

// A server whose port was taken by somebody is configured for another one.
func TestServerMovesToAnotherPort(t *testing.T) {
	s := Start(t)
	s.Kill()
	var err error
	if s.port, err = slapdtest.FreePort(); err != nil {
		t.Fatal(err)
	}
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.configure(self.Username), s.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client(t).Search(rootDSE()); err != nil {
		t.Error(err)
	}
}

func TestConfigurationIsParsed(t *testing.T) {
	d := parseDSE("# comment\n\n\ndn: cn=a\nx: 1\n 2\nX: 3\n\n\n# another\ndn: cn=b\ny: 4\n")
	d.set("cn=A", "x", "5")
	if got, want := d.String(), "dn: cn=a\nx: 5\n\ndn: cn=b\ny: 4\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMissingServer(t *testing.T) {
	t.Setenv("LISTENERD_DIRSRV_ROOT", tempDir(t))
	t.Setenv("LISTENERD_NS_SLAPD", os.Args[0])
	_, err := New(tempDir(t))
	if !errors.Is(err, slapdtest.ErrMissing) || !strings.Contains(err.Error(), "make servers") {
		t.Errorf("error %v", err)
	}
}

func rootDSE() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)",
		[]string{"vendorName", "supportedControl", "lastChangeNumber"}, nil)
}
