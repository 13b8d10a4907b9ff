package config_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/config"
)

func TestParseLDAPURL(t *testing.T) {
	const michigan = "o=University of Michigan,c=US"
	for _, test := range []struct {
		url      string
		want     config.LDAPURL
		provider string
	}{
		// RFC 4516, section 4, in its order.
		{"ldap:///o=University%20of%20Michigan,c=US", config.LDAPURL{Scheme: "ldap", DN: michigan}, ""},
		{"ldap://ldap1.example.net/o=University%20of%20Michigan,c=US", config.LDAPURL{Scheme: "ldap", Host: "ldap1.example.net", DN: michigan}, "ldap://ldap1.example.net:389"},
		{"ldap://ldap1.example.net/o=University%20of%20Michigan,c=US?postalAddress", config.LDAPURL{Scheme: "ldap", Host: "ldap1.example.net", DN: michigan, Attributes: []string{"postalAddress"}}, "ldap://ldap1.example.net:389"},
		{"ldap://ldap1.example.net:6666/o=University%20of%20Michigan,c=US??sub?(cn=Babs%20Jensen)", config.LDAPURL{Scheme: "ldap", Host: "ldap1.example.net", Port: 6666, DN: michigan, Scope: "sub", Filter: "(cn=Babs Jensen)"}, "ldap://ldap1.example.net:6666"},
		{"LDAP://ldap1.example.com/c=GB?objectClass?ONE", config.LDAPURL{Scheme: "ldap", Host: "ldap1.example.com", DN: "c=GB", Attributes: []string{"objectClass"}, Scope: "one"}, "ldap://ldap1.example.com:389"},
		{"ldap://ldap2.example.com/o=Question%3f,c=US?mail", config.LDAPURL{Scheme: "ldap", Host: "ldap2.example.com", DN: "o=Question?,c=US", Attributes: []string{"mail"}}, "ldap://ldap2.example.com:389"},
		{"ldap://ldap3.example.com/o=Babsco,c=US???(four-octet=%5c00%5c00%5c00%5c04)", config.LDAPURL{Scheme: "ldap", Host: "ldap3.example.com", DN: "o=Babsco,c=US", Filter: `(four-octet=\00\00\00\04)`}, "ldap://ldap3.example.com:389"},
		{"ldap://ldap.example.com/o=An%20Example%5C2C%20Inc.,c=US", config.LDAPURL{Scheme: "ldap", Host: "ldap.example.com", DN: `o=An Example\2C Inc.,c=US`}, "ldap://ldap.example.com:389"},
		{"ldap://ldap.example.net", config.LDAPURL{Scheme: "ldap", Host: "ldap.example.net"}, "ldap://ldap.example.net:389"},
		{"ldap://ldap.example.net/", config.LDAPURL{Scheme: "ldap", Host: "ldap.example.net"}, "ldap://ldap.example.net:389"},
		{"ldap://ldap.example.net/?", config.LDAPURL{Scheme: "ldap", Host: "ldap.example.net"}, "ldap://ldap.example.net:389"},
		{"ldap:///??sub??e-bindname=cn=Manager%2cdc=example%2cdc=com", config.LDAPURL{Scheme: "ldap", Scope: "sub", BindName: "cn=Manager,dc=example,dc=com"}, ""},
		{"ldap:///??sub??!e-bindname=cn=Manager%2cdc=example%2cdc=com", config.LDAPURL{Scheme: "ldap", Scope: "sub", BindName: "cn=Manager,dc=example,dc=com"}, ""},

		// Extensions.
		{"ldap://h/????bindname=cn=a", config.LDAPURL{Scheme: "ldap", Host: "h", BindName: "cn=a"}, "ldap://h:389"},
		{"ldap://h/????!BindName=cn=a", config.LDAPURL{Scheme: "ldap", Host: "h", BindName: "cn=a"}, "ldap://h:389"},
		{"ldaps://h", config.LDAPURL{Scheme: "ldaps", Host: "h"}, "ldaps://h:636"},
		{"LDAPS://[::1]:1636/", config.LDAPURL{Scheme: "ldaps", Host: "::1", Port: 1636}, "ldaps://[::1]:1636"},
		{"ldap://h/????x-tls,bindname=cn=a,1.2.3=4", config.LDAPURL{Scheme: "ldap", Host: "h", BindName: "cn=a"}, "ldap://h:389"},
		{"ldap://h/????", config.LDAPURL{Scheme: "ldap", Host: "h"}, "ldap://h:389"},

		// Hosts.
		{"ldap://192.0.2.1:1389", config.LDAPURL{Scheme: "ldap", Host: "192.0.2.1", Port: 1389}, "ldap://192.0.2.1:1389"},
		{"ldap://[2001:db8::7]/c=GB?objectClass?one", config.LDAPURL{Scheme: "ldap", Host: "2001:db8::7", DN: "c=GB", Attributes: []string{"objectClass"}, Scope: "one"}, "ldap://[2001:db8::7]:389"},
		{"ldap://[::1]:1389", config.LDAPURL{Scheme: "ldap", Host: "::1", Port: 1389}, "ldap://[::1]:1389"},
		{"ldap://[fe80::1%25eth0]", config.LDAPURL{Scheme: "ldap", Host: "fe80::1%eth0"}, "ldap://[fe80::1%25eth0]:389"},

		// Sockets.
		{"ldapi://%2Fvar%2Frun%2Fldapi", config.LDAPURL{Scheme: "ldapi", Host: "/var/run/ldapi"}, "ldapi://%2Fvar%2Frun%2Fldapi"},
		{"ldapi://%2ftmp%2fa%20b/dc=x??base", config.LDAPURL{Scheme: "ldapi", Host: "/tmp/a b", DN: "dc=x", Scope: "base"}, "ldapi://%2Ftmp%2Fa%20b"},
		{"ldapi://", config.LDAPURL{Scheme: "ldapi"}, "ldapi://%2Fvar%2Frun%2Fslapd%2Fldapi"},
		{"ldapi:///dc=x", config.LDAPURL{Scheme: "ldapi", DN: "dc=x"}, "ldapi://%2Fvar%2Frun%2Fslapd%2Fldapi"},

		// Lists and escapes.
		{"ldap://h/dc=x?cn,user%43ertificate;binary,*", config.LDAPURL{Scheme: "ldap", Host: "h", DN: "dc=x", Attributes: []string{"cn", "userCertificate;binary", "*"}}, "ldap://h:389"},
		{"ldap://h/ou=K%C3%BCche", config.LDAPURL{Scheme: "ldap", Host: "h", DN: "ou=Küche"}, "ldap://h:389"},
		{"ldap://h/a=1+b=2", config.LDAPURL{Scheme: "ldap", Host: "h", DN: "a=1+b=2"}, "ldap://h:389"},
	} {
		got, err := config.ParseLDAPURL(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.url, got, test.want)
		}
		if got := got.Provider(); got != test.provider {
			t.Errorf("%s: provider %q, want %q", test.url, got, test.provider)
		}
	}
}

func TestParseLDAPURLErrors(t *testing.T) {
	for url, want := range map[string]string{
		"":                                    `"" is no LDAP URL; write ldap://HOST, ldaps://HOST or ldapi://SOCKET`,
		"ldap.example.com":                    `"ldap.example.com" is no LDAP URL; write ldap://HOST, ldaps://HOST or ldapi://SOCKET`,
		"http://h":                            `scheme "http" is no LDAP; use ldap://, ldaps:// or ldapi://`,
		"ldap://h/dc=x#y":                     "# has no meaning in an LDAP URL; write %23 for the character",
		"ldap://h?cn":                         "a / is missing between the host and the first ?",
		"ldap://h/a?b?sub?c?bindname=x?y":     "more than four ?; write %3F for a ? inside of a part",
		"ldap://u@h":                          "an LDAP URL has no user before an @; name the DN to bind with in ldap.bind.dn",
		"ldap://h:0":                          `port "0": want a number from 1 to 65535`,
		"ldap://h:":                           `port "": want a number from 1 to 65535`,
		"ldap://h:65536":                      `port "65536": want a number from 1 to 65535`,
		"ldap://:389":                         "there is a port, but no host",
		"ldap://::1":                          `host "::1": an IPv6 address needs brackets, as in ldap://[::1]:389`,
		"ldap://[::1":                         `host "[::1": want an IPv6 address in brackets, then :PORT or nothing`,
		"ldap://[::1]389":                     `host "[::1]389": want an IPv6 address in brackets, then :PORT or nothing`,
		"ldap://[::1]:":                       `port "": want a number from 1 to 65535`,
		"ldap://[192.0.2.1]":                  `host "192.0.2.1" is no IPv6 address`,
		"ldap://[%zz]":                        "host: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h%zz":                         "host: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://a b":                          `host "a b" has a character that no host name has`,
		"ldapi://tmp%2Fx":                     `socket "tmp/x" is no absolute path; write its slashes as %2F, as in ldapi://%2Fvar%2Frun%2Fslapd%2Fldapi`,
		"ldapi://%zz":                         "socket: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldapi:///var/run/ldapi":              "the path of the socket goes before the slash, escaped: ldapi://%2Fvar%2Frun%2Fldapi",
		"ldap://h/dc=%":                       "base: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h/dc=%ff":                     "base: it is not valid UTF-8 when decoded",
		"ldap://h/dc=%00":                     `base: control character '\x00'`,
		"ldap://h/dc=x?cn,,sn":                "attributes: one between two commas is missing",
		"ldap://h/dc=x?%zz":                   "attributes: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h/dc=x??SUBTREE":              `scope "SUBTREE": want base, one or sub`,
		"ldap://h/dc=x??%zz":                  "scope: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h/dc=x???%zz":                 "filter: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h/????!x-unknown":             `extension "x-unknown" is marked critical, but not known; a comma inside of a value is written %2C`,
		"ldap://h/????bindname":               "bindname names no DN; write it as in bindname=cn=listener",
		"ldap://h/????bindname=%zz":           "bindname: % must be followed by two hexadecimal digits; write %25 for the character",
		"ldap://h/????bindname=a,!bindname=b": "bindname is there twice; a comma inside of its DN is written %2C",
		"ldap://h/????,":                      "an extension has no name",
	} {
		if got, err := config.ParseLDAPURL(url); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v, %+v\nwant %s", url, err, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for url, want := range map[string]string{
		"ldap://h":             "tcp h:389",
		"ldap://[::1]:1389":    "tcp [::1]:1389",
		"ldap:///dc=x":         "tcp ",
		"ldapi://%2Ftmp%2Fs":   "unix /tmp/s",
		"ldapi:///dc=x??sub??": "unix /var/run/slapd/ldapi",
	} {
		u, err := config.ParseLDAPURL(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintln(u.Address()); got != want+"\n" {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
		if u.Provider() == "" {
			continue
		}
		again, err := config.ParseLDAPURL(u.Provider())
		if err != nil {
			t.Errorf("%s: provider %s: %v", url, u.Provider(), err)
		}
		if got := fmt.Sprintln(again.Address()); got != want+"\n" {
			t.Errorf("%s: provider %s is at %q, want %q", url, u.Provider(), got, want)
		}
	}
}
