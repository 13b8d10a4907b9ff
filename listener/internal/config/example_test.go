package config_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/listenerd/listenerd/listener/internal/config"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "listenerd.yaml")
	text := `ldap:
  uri: ldap://ldap.example.com
  base: dc=example,dc=com
  scpoe: one
shutdown_timeout: 30
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}

	_, err = config.Load(path, nil, nil)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			fmt.Printf("line %d: %s\n", p.Line, p.Message)
		}
	}
	// Output:
	// line 4: unknown key "scpoe"; did you mean "scope"?
	// line 5: shutdown_timeout: want a duration such as 15s, have 30
}

func ExampleParseLDAPURL() {
	u, err := config.ParseLDAPURL("ldap://ldap.example.com/dc=example,dc=com?cn,mail?sub?(uid=*)")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Provider())
	fmt.Println(u.DN, u.Attributes, u.Scope, u.Filter)
	// Output:
	// ldap://ldap.example.com:389
	// dc=example,dc=com [cn mail] sub (uid=*)
}
