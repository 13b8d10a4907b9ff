package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// Kerberos says how to bind by SASL GSSAPI (RFC 4752), without a security layer of its
// own: that is the matter of [TLS]. Its [Kerberos.Bind] is a [Config.Bind].
//
// The files are read, and the ticket is asked for, at each bind. So a credential cache
// may be renewed by others at any time.
type Kerberos struct {
	// Principal is who to be, as NAME or NAME@REALM. Required with Keytab; with a
	// credential cache it has to be the cache's if it is given.
	Principal string
	// Keytab is the path of the file with the principal's key.
	Keytab string
	// CCache is the path of the credential cache, a file, to use if there is no Keytab.
	// Default: what the environment variable KRB5CCNAME says, else /tmp/krb5cc_UID.
	CCache string
	// Krb5Conf is the path of Kerberos's configuration. Default: what the environment
	// variable KRB5_CONFIG says, else /etc/krb5.conf.
	Krb5Conf string
	// ServicePrincipal is the provider's. Default: ldap/HOST with the host in the URI as
	// it is written there; no alias is resolved.
	ServicePrincipal string
}

// Bind binds conn, which leads to the provider at uri. When ctx ends while a KDC is
// asked, it returns at once; what goes on in the background then ends by the KDC's
// answer, or after five seconds for each KDC and transport.
func (k *Kerberos) Bind(ctx context.Context, uri string, conn *ldap.Conn) error {
	service, err := k.service(uri)
	if err != nil {
		return err
	}
	c, err := k.ticket(ctx, service)
	if err != nil {
		return err
	}
	defer c.Destroy()
	return conn.GSSAPIBind(&securityContext{client: c}, service, "")
}

func (k *Kerberos) service(uri string) (string, error) {
	if k.ServicePrincipal != "" {
		return k.ServicePrincipal, nil
	}
	t, err := parseTarget(uri)
	if err != nil {
		return "", err
	}
	if t.network == "unix" {
		if t.host, err = os.Hostname(); err != nil {
			return "", err
		}
	}
	return "ldap/" + t.host, nil
}

// ticket returns a client that has the ticket for service. The library that asks for
// it knows no context.
func (k *Kerberos) ticket(ctx context.Context, service string) (*client.Client, error) {
	type answer struct {
		client *client.Client
		err    error
	}
	answers := make(chan answer)
	go func() {
		c, err := k.askKDC(service)
		select {
		case answers <- answer{c, err}:
		case <-ctx.Done():
			if c != nil {
				c.Destroy()
			}
		}
	}()
	select {
	case a := <-answers:
		return a.client, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// askKDC returns a client with a ticket, or an error and nil.
func (k *Kerberos) askKDC(service string) (c *client.Client, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Kerberos library failed: %v", p)
		}
		if err != nil && c != nil {
			c.Destroy()
			c = nil
		}
	}()
	path := k.krb5Conf()
	conf, err := config.Load(path)
	if err != nil {
		return nil, fmt.Errorf("krb5_conf %s: %w", path, err)
	}
	if k.Keytab != "" {
		c, err = k.login(conf)
	} else {
		c, err = k.fromCache(conf)
	}
	if err != nil {
		return c, err
	}
	if _, _, err = c.GetServiceTicket(service); err != nil {
		return c, fmt.Errorf("get a ticket for %s: %w", service, err)
	}
	return c, nil
}

func (k *Kerberos) login(conf *config.Config) (*client.Client, error) {
	key, err := keytab.Load(k.Keytab)
	if err != nil {
		return nil, fmt.Errorf("keytab %s: %w", k.Keytab, err)
	}
	name, realm, _ := strings.Cut(k.Principal, "@")
	if realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	// Active Directory lacks the extension that is left out.
	c := client.NewWithKeytab(name, realm, key, conf, client.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		return c, unknownPrincipal(fmt.Errorf("log in as %s@%s with keytab %s: %w", name, realm, k.Keytab, err))
	}
	return c, nil
}

func (k *Kerberos) fromCache(conf *config.Config) (*client.Client, error) {
	path, err := k.ccache()
	if err != nil {
		return nil, err
	}
	cache, err := loadCCache(path)
	if err != nil {
		return nil, fmt.Errorf("credential cache %s: %w", path, err)
	}
	c, err := client.NewFromCCache(cache, conf)
	if err != nil {
		return nil, fmt.Errorf("credential cache %s: %w", path, err)
	}
	have := c.Credentials.CName().PrincipalNameString()
	if name, realm, _ := strings.Cut(k.Principal, "@"); name != "" && (name != have || realm != "" && realm != c.Credentials.Realm()) {
		return c, fmt.Errorf("credential cache %s is that of %s@%s, not of %s", path, have, c.Credentials.Realm(), k.Principal)
	}
	return c, nil
}

// loadCCache makes an error of the panic that a damaged file provokes.
func loadCCache(path string) (cache *credentials.CCache, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the file is damaged")
		}
	}()
	return credentials.LoadCCache(path)
}

// unknownPrincipal marks an error that means the KDC knows better who the principal is.
func unknownPrincipal(err error) error {
	for _, code := range []string{"KDC_ERR_PREAUTH_FAILED", "KDC_ERR_C_PRINCIPAL_UNKNOWN"} {
		if strings.Contains(err.Error(), code) {
			return fmt.Errorf("%w: %w", ErrInvalidCredentials, err)
		}
	}
	return err
}

func (k *Kerberos) krb5Conf() string {
	if k.Krb5Conf != "" {
		return k.Krb5Conf
	}
	// The variable may have a list of which later ones add to the first.
	if first, _, _ := strings.Cut(os.Getenv("KRB5_CONFIG"), ":"); first != "" {
		return first
	}
	return "/etc/krb5.conf"
}

func (k *Kerberos) ccache() (string, error) {
	path := k.CCache
	if path == "" {
		path = os.Getenv("KRB5CCNAME")
	}
	if path == "" {
		return fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid()), nil
	}
	if kind, file, ok := strings.Cut(path, ":"); ok && !strings.Contains(kind, "/") {
		if kind != "FILE" {
			return "", errors.New("credential cache " + path + ": only files can be read; set ccache to the path of one")
		}
		path = file
	}
	return path, nil
}
