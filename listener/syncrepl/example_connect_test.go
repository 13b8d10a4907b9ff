package syncrepl_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// The identity is that of a Kerberos principal, and TLS keeps what is read from others.
func ExampleKerberos() {
	identity := &syncrepl.Kerberos{Principal: "listener@EXAMPLE.COM", Keytab: "/etc/listener.keytab"}
	consumer, err := syncrepl.New(syncrepl.Config{
		URIs: []string{"ldap://ldap1.example.com"},
		Base: "dc=example,dc=com",
		Bind: identity.Bind,
		TLS:  syncrepl.TLS{StartTLS: true, CAFile: "/etc/ssl/example-ca.pem"},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = consumer // consumer.Run follows the directory
}

// The identity is that of the client's certificate.
func ExampleExternal() {
	consumer, err := syncrepl.New(syncrepl.Config{
		URIs: []string{"ldaps://ldap1.example.com"},
		Base: "dc=example,dc=com",
		Bind: syncrepl.External,
		TLS:  syncrepl.TLS{CertFile: "/etc/listener.pem", KeyFile: "/etc/listener.key"},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = consumer // consumer.Run follows the directory
}

// addAndCheck adds an entry, and tells whether the cookies that a sink stored before and
// after it was told of that contain the change.
func addAndCheck(ctx context.Context, consumer *syncrepl.Consumer, uri string, add *ldap.AddRequest, cookies ...[]byte) (reached []bool, err error) {
	conn, err := consumer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.Add(add); err != nil {
		return nil, err
	}
	position, err := consumer.Position(ctx, uri)
	if err != nil {
		return nil, err
	}
	for _, cookie := range cookies {
		yes, err := position.Reached(ctx, cookie)
		if err != nil {
			return nil, err
		}
		reached = append(reached, yes)
	}
	return reached, nil
}

// Who writes to the directory can wait until what it wrote has arrived: it asks the
// provider how far that is, and compares with the cookie that the sink stored last.
func ExampleConsumer_Position() {
	ctx, uri := context.Background(), "ldap://ldap1.example.com"
	consumer, err := syncrepl.New(syncrepl.Config{
		URIs: []string{uri}, Base: "dc=example,dc=com", BindDN: "cn=writer,dc=example,dc=com", Password: "secret",
	})
	if err != nil {
		log.Fatal(err)
	}
	add := ldap.NewAddRequest("ou=people,dc=example,dc=com", nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	stored := []byte("rid=000,csn=20260102030405.000000Z#000000#000#000000")
	reached, err := addAndCheck(ctx, consumer, uri, add, stored)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reached[0])
}

func TestExamplePosition(t *testing.T) {
	server := slapdtest.Start(t)
	cfg := exampleConfig(server)
	cfg.BindDN, cfg.Password = slapdtest.RootDN, slapdtest.RootPassword
	consumer, err := syncrepl.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	add := ldap.NewAddRequest("ou=people,"+slapdtest.BaseDN, nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	past := []byte("rid=000,csn=20200101000000.000000Z#000000#000#000000")
	future := []byte("rid=000,csn=29990101000000.000000Z#000000#000#000000")
	reached, err := addAndCheck(t.Context(), consumer, server.URI(), add, past, future)
	if err != nil || len(reached) != 2 || reached[0] || !reached[1] {
		t.Errorf("reached %v, %v", reached, err)
	}
}
