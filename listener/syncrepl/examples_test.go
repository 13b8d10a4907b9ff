package syncrepl_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// The programs of the Examples run against a real slapd here.

func exampleConfig(server *slapdtest.Server) syncrepl.Config {
	return syncrepl.Config{
		URIs: []string{server.URI()}, Base: slapdtest.BaseDN,
		BindDN: slapdtest.ListenerDN, Password: slapdtest.ListenerPassword,
	}
}

func person(t *testing.T, conn *ldap.Conn, uid string) string {
	t.Helper()
	dn := "uid=" + uid + "," + slapdtest.BaseDN
	r := ldap.NewAddRequest(dn, nil)
	r.Attribute("objectClass", []string{"inetOrgPerson"})
	r.Attribute("cn", []string{uid})
	r.Attribute("sn", []string{uid})
	if err := conn.Add(r); err != nil {
		t.Fatal(err)
	}
	return dn
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func TestExample(t *testing.T) {
	server := slapdtest.Start(t)
	conn := server.Client(t)
	ada := person(t, conn, "ada")
	cfg := exampleConfig(server)
	cfg.Filter = "(objectClass=inetOrgPerson)"
	cfg.Attributes = []string{"sn"}
	read, write := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- printChanges(ctx, cfg, write)
		write.Close()
	}()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(read); text.Scan(); {
			lines <- text.Text()
		}
	}()
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			got := uuids.ReplaceAllString(<-lines, "UUID")
			if !strings.HasPrefix(got, w) {
				t.Fatalf("it says %q, want %q", got, w)
			}
		}
	}
	expect("bound at "+server.URI(), "following "+server.URI()+" (OpenLDAP)",
		"UUID is "+ada, `  sn: ["ada"]`, "gone: all that was not mentioned", "up to date", `cookie "rid=000,csn=`)
	bob := person(t, conn, "bob")
	expect("UUID is "+bob, `  sn: ["bob"]`, `cookie "rid=000,csn=`)
	if err := conn.Del(ldap.NewDelRequest(ada, nil)); err != nil {
		t.Fatal(err)
	}
	expect("gone: [UUID]", `cookie "rid=000,csn=`)
	cancel()
	for line := range lines {
		t.Errorf("at the end it says %q", line)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestExampleFileStore(t *testing.T) {
	for name, options := range map[string][]slapdtest.Option{"PresentPhase": nil, "DeletePhase": {slapdtest.SessionLog(100)}} {
		t.Run(name, func(t *testing.T) {
			server := slapdtest.Start(t, options...)
			conn := server.Client(t)
			path := filepath.Join(t.TempDir(), "names.json")
			check := func(when string, want ...string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := update(ctx, exampleConfig(server), path); err != nil {
					t.Fatal(err)
				}
				store, err := openFileStore(path)
				if err != nil {
					t.Fatal(err)
				}
				got := slices.Sorted(maps.Values(store.content.DNs))
				want = slices.Sorted(slices.Values(append(want, slapdtest.BaseDN, slapdtest.ListenerDN)))
				if !slices.Equal(got, want) || len(store.content.Cookie) == 0 {
					t.Errorf("%s: %q with cookie %q, want %q", when, got, store.content.Cookie, want)
				}
			}
			ada, bob := person(t, conn, "ada"), person(t, conn, "bob")
			check("at first", ada, bob)
			if err := conn.Del(ldap.NewDelRequest(ada, nil)); err != nil {
				t.Fatal(err)
			}
			if err := conn.ModifyDN(ldap.NewModifyDNRequest(bob, "uid=eve", true, "")); err != nil {
				t.Fatal(err)
			}
			check("later", fmt.Sprintf("uid=eve,%s", slapdtest.BaseDN))
			check("without a change", fmt.Sprintf("uid=eve,%s", slapdtest.BaseDN))
		})
	}
}
