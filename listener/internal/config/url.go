package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultSocket is the path that an ldapi URL without one stands for: where
// slapd's packages of the common distributions listen.
const DefaultSocket = "/var/run/slapd/ldapi"

// The ports of an LDAP URL without one.
const (
	defaultPort    = 389
	defaultTLSPort = 636
)

// LDAPURL is an LDAP URL, RFC 4516, percent-decoded. A part that the URL leaves
// out is empty; RFC 4516's defaults are not filled in, so that a key of the
// configuration can stand in for it.
type LDAPURL struct {
	// Scheme is ldap, ldaps or ldapi.
	Scheme string
	// Host is a host name or an address, an IPv6 address without its brackets; for
	// ldapi it is the path of the socket.
	Host string
	// Port is 0 if the URL has none.
	Port int
	// DN is the search base.
	DN string
	// Attributes are those to return.
	Attributes []string
	// Scope is base, one or sub, in lower case.
	Scope string
	// Filter is the search filter. Its syntax is not checked.
	Filter string
	// BindName is the value of the extension bindname (RFC 2255), the DN to bind
	// with. e-bindname, the name in the examples of RFC 4516, means the same.
	BindName string
}

// ParseLDAPURL reads an LDAP URL. An unknown extension is ignored unless it is
// marked critical with '!', which is an error.
func ParseLDAPURL(s string) (LDAPURL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return LDAPURL{}, fmt.Errorf("%q is no LDAP URL; write ldap://HOST, ldaps://HOST or ldapi://SOCKET", s)
	}
	u := LDAPURL{Scheme: strings.ToLower(scheme)}
	switch u.Scheme {
	case "ldap", "ldaps", "ldapi":
	default:
		return LDAPURL{}, fmt.Errorf("scheme %q is no LDAP; use ldap://, ldaps:// or ldapi://", scheme)
	}
	if strings.Contains(rest, "#") {
		return LDAPURL{}, errors.New("# has no meaning in an LDAP URL; write %23 for the character")
	}
	authority, rest, slash := strings.Cut(rest, "/")
	if !slash && strings.Contains(authority, "?") {
		return LDAPURL{}, errors.New("a / is missing between the host and the first ?")
	}
	if err := u.parseAuthority(authority); err != nil {
		return LDAPURL{}, err
	}
	parts := strings.Split(rest, "?")
	if len(parts) > 5 {
		return LDAPURL{}, errors.New("more than four ?; write %3F for a ? inside of a part")
	}
	parts = append(parts, make([]string, 5-len(parts))...)
	if err := u.parseSearch(parts[0], parts[1], parts[2], parts[3]); err != nil {
		return LDAPURL{}, err
	}
	if err := u.parseExtensions(parts[4]); err != nil {
		return LDAPURL{}, err
	}
	return u, nil
}

// Provider returns the URL of the server alone: ldap://host:port, ldaps://host:port
// or ldapi://%2Fpath, with the default port or socket if the URL has none. It is
// empty for a URL without a host that needs one.
func (u LDAPURL) Provider() string {
	_, address := u.Address()
	switch {
	case address == "":
		return ""
	case u.Scheme == "ldapi":
		return "ldapi://" + url.PathEscape(address)
	}
	// A zone's % is written %25 in a URL (RFC 6874).
	return u.Scheme + "://" + strings.ReplaceAll(address, "%", "%25")
}

// Address returns what to dial: tcp and host:port, or unix and the path of the
// socket. The address is empty for a URL without a host that needs one.
func (u LDAPURL) Address() (network, address string) {
	if u.Scheme == "ldapi" {
		if u.Host == "" {
			return "unix", DefaultSocket
		}
		return "unix", u.Host
	}
	if u.Host == "" {
		return "tcp", ""
	}
	port := u.Port
	switch {
	case port != 0:
	case u.Scheme == "ldaps":
		port = defaultTLSPort
	default:
		port = defaultPort
	}
	return "tcp", net.JoinHostPort(u.Host, strconv.Itoa(port))
}

func (u *LDAPURL) parseAuthority(s string) error {
	if strings.Contains(s, "@") {
		// The part before it may be a password: it is not repeated here.
		return errors.New("an LDAP URL has no user before an @; name the DN to bind with in ldap.bind.dn")
	}
	if u.Scheme == "ldapi" {
		path, err := unescape(s)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		if path != "" && path[0] != '/' {
			return fmt.Errorf("socket %q is no absolute path; write its slashes as %%2F, as in ldapi://%s", path, url.PathEscape(DefaultSocket))
		}
		u.Host = path
		return nil
	}
	host, port, hasPort := s, "", false
	if literal, ok := strings.CutPrefix(s, "["); ok {
		inside, after, closed := strings.Cut(literal, "]")
		if !closed || after != "" && after[0] != ':' {
			return fmt.Errorf("host %q: want an IPv6 address in brackets, then :PORT or nothing", s)
		}
		host, port, hasPort = inside, strings.TrimPrefix(after, ":"), after != ""
		decoded, err := unescape(inside)
		if err != nil {
			return fmt.Errorf("host: %w", err)
		}
		if addr, err := netip.ParseAddr(decoded); err != nil || !addr.Is6() {
			return fmt.Errorf("host %q is no IPv6 address", decoded)
		}
		host = decoded
	} else {
		if strings.Count(s, ":") > 1 {
			return fmt.Errorf("host %q: an IPv6 address needs brackets, as in ldap://[::1]:389", s)
		}
		host, port, hasPort = strings.Cut(s, ":")
		var err error
		if host, err = unescape(host); err != nil {
			return fmt.Errorf("host: %w", err)
		}
		if i := strings.IndexFunc(host, notInHostName); i >= 0 {
			return fmt.Errorf("host %q has a character that no host name has", host)
		}
		if host == "" && hasPort {
			return errors.New("there is a port, but no host")
		}
	}
	u.Host = host
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port %q: want a number from 1 to 65535", port)
		}
		u.Port = int(n)
	}
	return nil
}

func notInHostName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
}

func (u *LDAPURL) parseSearch(dn, attributes, scope, filter string) error {
	var err error
	if u.DN, err = unescape(dn); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if u.Scheme == "ldapi" && u.Host == "" && u.DN != "" && !strings.Contains(u.DN, "=") {
		return fmt.Errorf("the path of the socket goes before the slash, escaped: ldapi://%s", url.PathEscape("/"+u.DN))
	}
	if attributes != "" {
		for a := range strings.SplitSeq(attributes, ",") {
			if a, err = unescape(a); err != nil {
				return fmt.Errorf("attributes: %w", err)
			}
			if a == "" {
				return errors.New("attributes: one between two commas is missing")
			}
			u.Attributes = append(u.Attributes, a)
		}
	}
	if scope, err = unescape(scope); err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	switch u.Scope = strings.ToLower(scope); u.Scope {
	case "", "base", "one", "sub":
	default:
		return fmt.Errorf("scope %q: want base, one or sub", scope)
	}
	if u.Filter, err = unescape(filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

func (u *LDAPURL) parseExtensions(s string) error {
	if s == "" {
		return nil
	}
	for extension := range strings.SplitSeq(s, ",") {
		extension, critical := strings.CutPrefix(extension, "!")
		name, value, _ := strings.Cut(extension, "=")
		switch strings.ToLower(name) {
		case "bindname", "e-bindname":
			value, err := unescape(value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if value == "" {
				return fmt.Errorf("%s names no DN; write it as in %s=cn=listener", name, name)
			}
			if u.BindName != "" {
				return fmt.Errorf("%s is there twice; a comma inside of its DN is written %%2C", name)
			}
			u.BindName = value
		default:
			if critical {
				return fmt.Errorf("extension %q is marked critical, but not known; a comma inside of a value is written %%2C", name)
			}
			if name == "" {
				return errors.New("an extension has no name")
			}
		}
	}
	return nil
}

// unescape decodes %XX. Unlike package url it leaves everything else as it is.
func unescape(s string) (string, error) {
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return "", errors.New("% must be followed by two hexadecimal digits; write %25 for the character")
	}
	if !utf8.ValidString(decoded) {
		return "", errors.New("it is not valid UTF-8 when decoded")
	}
	for _, r := range decoded {
		if r < ' ' || r == 0x7f {
			return "", fmt.Errorf("control character %q", r)
		}
	}
	return decoded, nil
}
