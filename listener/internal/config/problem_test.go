package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
)

// problems loads text and returns what Load has to say about it, one problem a
// line, without the directory of the file.
func problems(t *testing.T, text string, modules []listener.Module) string {
	t.Helper()
	path := write(t, text)
	c, err := config.Load(path, modules, checkFilter)
	if err == nil {
		return ""
	}
	if c != nil {
		t.Error("Load returned a configuration next to the error")
	}
	if _, ok := errors.AsType[config.Problems](err); !ok {
		t.Errorf("the error is a %T", err)
	}
	return strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
}

const unreadable = `
ldap:
  uri: ldap://h
  base: dc=x
`

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, yaml string
		want       []string // less the file's name
	}{
		// The file as a whole.
		{"empty", "", []string{" the file is empty; it needs the key ldap at least"}},
		{"comments only", "# nothing\n\n", []string{" the file is empty; it needs the key ldap at least"}},
		{"empty document", "---\n", []string{" the file is empty; it needs the key ldap at least"}},
		{"two documents", minimal + "---\nmodules: []\n", []string{"2: a second YAML document begins here (---); put everything in one"}},
		{"broken second document", minimal + "---\na: [\n", []string{"3: YAML syntax: did not find expected node content; check indentation, quotes and brackets here and above"}},
		{"list", "- a\n", []string{"1: the file: want a mapping (key: value), have a list"}},
		{"text", "\nhello\n", []string{`2: the file: want a mapping (key: value), have "hello"`}},
		{"nothing of use", "{}", []string{` ldap is missing; it says which directory to follow, as in ldap: {uri: ldap://HOST, base: "dc=example,dc=com"}`}},

		// Syntax.
		{"tab", "ldap:\n\turi: ldap://h\n", []string{"2: YAML syntax: found character that cannot start any token; indent with spaces, not tabs"}},
		{"colon in text", "ldap:\n  uri: ldap://h\n  base: a: b\n", []string{"3: YAML syntax: mapping values are not allowed in this context; check the indentation, and quote a text that contains a colon and a space"}},
		{"indented less", "x: 1\nldap:\n  uri: ldap://h\n  base: dc=x\n scope: sub\nlog: {}\n", []string{"5: YAML syntax: did not find expected key; check indentation, quotes and brackets here and above"}},
		{"indented less in a list", "modules:\n  - name: a\n    timeout: 1s\n   module: b\n  - name: c\n", []string{"4: YAML syntax: did not find expected '-' indicator; check indentation, quotes and brackets here and above"}},
		{"open quote", "ldap:\n  uri: \"ldap://h\n  base: dc=x\n", []string{"2: YAML syntax: found unexpected end of stream; a quote or bracket is not closed"}},
		{"open bracket", "ldap: {uri: ldap://h\nlog: {}\n", []string{"1: YAML syntax: did not find expected ',' or '}'; check indentation, quotes and brackets here and above"}},
		{"at sign", "ldap:\n  base: @x\n", []string{"2: YAML syntax: found character that cannot start any token; quote the text"}},
		{"first line", "a: b: c\n", []string{"1: YAML syntax: mapping values are not allowed in this context; check the indentation, and quote a text that contains a colon and a space"}},
		{"control character", "ldap:\n  base: \x01\n", []string{"2: YAML syntax: control characters are not allowed"}},
		{"unknown anchor", "ldap:\n  attributes: [*]\n  base: *nowhere\n", []string{"2: YAML syntax: did not find expected alphabetic or numeric character; check indentation, quotes and brackets here and above"}},
		{"no such anchor", "ldap:\n  base: *nowhere\n", []string{"2: the alias *nowhere has no anchor &nowhere before it; quote a text that begins with *"}},

		// Keys.
		{"misspelt key", minimal + "modules:\n  - name: plain\n    paralelism: 1\n", []string{`4: unknown key "paralelism"; did you mean "parallelism"?`}},
		{"other spelling", minimal + "State-Dir: x\n", []string{`2: unknown key "State-Dir"; did you mean "state_dir"?`}},
		{"unknown key", minimal + "guards: {}\n", []string{`2: unknown key "guards"; did you mean "guard"?`}},
		{"key for later", "ldap:\n  uri: ldap://h\n  base: dc=x\n  referrals: true\n", []string{`4: unknown key "referrals" in ldap; known keys: attributes, base, bind, filter, full_reload_interval, max_message_size, network_timeout, probe_interval, scope, stale_grace, tls, uri`}},
		{"duplicate key", minimal + "state_dir: a\nlog: {}\nstate_dir: b\n", []string{`4: duplicate key "state_dir", which line 2 has already; keep one of them`}},
		{"guard", minimal + "guard:\n  max_delete_percent: 101\n  min_deletes: -1\n", []string{
			"3: guard.max_delete_percent: want a percentage up to 100, have 101", "4: guard.min_deletes: want 0 or more, have -1",
		}},
		{"key of another type", minimal + "[a]: b\n1: c\n", []string{"2: a key must be plain text, not a list or a mapping", `3: unknown key "1"; known keys: guard, ldap, log, modules, shared, shutdown_timeout, state_dir`}},
		{"password", "ldap:\n  uri: ldap://h\n  base: dc=x\n  password: a\n  bind:\n    dn: cn=a\n    password: b\n", []string{
			`4: key "password" in ldap: put the password in a file and name it with bind.password_file`,
			"5: ldap.bind.password_file is missing; a simple bind needs a password",
			`7: key "password" in ldap.bind: put the password in a file and name it with password_file`,
		}},

		// Types.
		{"types", `
ldap:
  uri: {a: b}
  base: [dc=x]
  attributes: uid
  bind: cn=a
state_dir:
shutdown_timeout: 30
log: debug
modules:
  - plain
  - name: plain
    run_asynchronously: maybe
    parallelism: many
    priority: 1.5
    quiet_period: 15
    timeout: [1s]
    retry: {min: a, max_attempts: 99999999999999999999, once_attempts: "3"}
    attributes: {a: b}
  - name: [a]
`, []string{
			"3: ldap.uri: want a list such as [a, b], have a mapping",
			"4: ldap.base: want text, have a list",
			`5: ldap.attributes: want a list such as [a, b], have "uid"`,
			`6: ldap.bind: want a mapping (key: value), have "cn=a"`,
			"7: state_dir: no value; want text, or leave the key out",
			"8: shutdown_timeout: want a duration such as 15s, have 30",
			`9: log: want a mapping (key: value), have "debug"`,
			`11: modules: want a mapping (key: value), have "plain"`,
			`13: modules.run_asynchronously: want true or false, have "maybe"`,
			`14: modules.parallelism: want a number of workers, or auto, have "many"`,
			"15: modules.priority: want a whole number, have 1.5",
			"16: modules.quiet_period: want a duration such as 15s, have 15",
			"17: modules.timeout: want a duration such as 15s, have a list",
			`18: modules.retry.min: want a duration such as 15s, have "a"`,
			"18: modules.retry.max_attempts: want a whole number, have 99999999999999999999",
			`18: modules.retry.once_attempts: want a whole number, have "3"`,
			"19: modules.attributes: want a list such as [a, b], have a mapping",
			"20: modules.name: want text, have a list",
		}},
		{"no list", minimal + "modules: {name: plain}\n", []string{"2: modules: want a list such as [a, b], have a mapping"}},
		{"no section", "ldap: ldap://h\n", []string{`1: ldap: want a mapping (key: value), have "ldap://h"`}},
		{"long text", minimal + "log: 0123456789012345678901234567890123456789\n", []string{"2: log: want a mapping (key: value), have 012345678901234567890123456789..."}},

		// Values.
		{"ranges", minimal + `shutdown_timeout: 0s
log: {level: trace, format: text}
modules:
  - name: pool
    parallelism: 10001
    quiet_period: -1s
    post_run_max_delay: 0
    timeout: -1s
    retry: {min: 0s, max: -1s, max_attempts: -1, once_attempts: 0}
  - {name: a, module: pool, retry: {min: 10m}}
  - {name: b, module: pool, retry: {min: 2s, max: 1s}}
  - {name: c, module: pool, parallelism: -10001}
`, []string{
			"2: shutdown_timeout: want more than 0, have 0s",
			`3: log.level: "trace" is not one of debug, info, warn, error`,
			`3: log.format: "text" is not one of json, console`,
			"6: modules.parallelism: want a number from -10000 to 10000, or auto, have 10001",
			"7: modules.quiet_period: want 0 or more, have -1s",
			"8: modules.post_run_max_delay: want more than 0, have 0s",
			"9: modules.timeout: want 0 or more, have -1s",
			"10: modules.retry.min: want more than 0, have 0s",
			"10: modules.retry.max: want more than 0, have -1s",
			"10: modules.retry.max_attempts: want 0 or more, have -1",
			"10: modules.retry.once_attempts: want 1 or more, have 0",
			"11: modules.retry: max (5m0s) is less than min (10m0s)",
			"12: modules.retry: max (1s) is less than min (2s)",
			"13: modules.parallelism: want a number from -10000 to 10000, or auto, have -10001",
		}},
		{"empty state_dir", minimal + "state_dir: ''\n", []string{"2: state_dir is empty; name a directory, or leave the key out for /var/lib/listenerd"}},
		{"state_dir is a file", minimal + "state_dir: secret\n", []string{"2: state_dir: secret is not a directory"}},

		// The directory.
		{"no uri, no base", "log: {}\nldap:\n", []string{
			"2: ldap.uri is missing; name the server, as in ldap://ldap.example.com",
			"2: ldap.base is missing; name the DN to follow, as in dc=example,dc=com",
		}},
		{"no base", "ldap:\n  uri: ldap://h\n", []string{"1: ldap.base is missing; name the DN to follow, as in dc=example,dc=com"}},
		{"blank base", "ldap:\n  uri: ldap://h\n  base: ' '\n", []string{`3: ldap.base: " " is no DN`}},
		{"empty values", "ldap:\n  uri: []\n  base: ''\n  filter: ''\n  attributes: []\n  scope: ''\n  bind: {dn: '', password_file: ''}\n", []string{
			"2: ldap.uri is empty; name the server, as in ldap://ldap.example.com",
			"3: ldap.base is empty; give it a value or leave the key out",
			"4: ldap.filter is empty; give it a value or leave the key out",
			"5: ldap.attributes is empty; leave the key out for all attributes",
			`6: ldap.scope: "" is not one of base, one, sub`,
			"7: ldap.bind.dn is empty; give it a value or leave the key out",
			"7: ldap.bind.password_file is empty; give it a value or leave the key out",
		}},
		{"bad values", "ldap:\n  uri:\n    - ''\n    - ldapx://h\n    - ldap:///dc=x\n    - ldap://h\n    - LDAP://h:389/\n  base: dc=x dc=y,z\n  filter: (uid=*\n  attributes:\n    - 'uid,cn'\n    - \"*\"\n    - '@person'\n  scope: subtree\n", []string{
			`3: ldap.uri: "" is no LDAP URL; write ldap://HOST, ldaps://HOST or ldapi://SOCKET`,
			`4: ldap.uri: scheme "ldapx" is no LDAP; use ldap://, ldaps:// or ldapi://`,
			"5: ldap.uri: it names no host; write ldap://localhost for this machine",
			"7: ldap.uri: ldap://h:389 is in line 6 already; remove one",
			`8: ldap.base: "dc=x dc=y,z" is no DN: DN ended with incomplete type, value pair`,
			`9: ldap.filter: "(uid=*": unbalanced parentheses`,
			`11: ldap.attributes: "uid,cn" is no attribute name`,
			`14: ldap.scope: "subtree" is not one of base, one, sub`,
		}},
		{"bad parts of a URL", "ldap:\n  uri: 'ldap://h/x?u%20id?sub?(cn=a?bindname=y'\n  bind: {password_file: secret}\n", []string{
			`2: ldap.uri: attributes: "u id" is no attribute name`,
			`2: ldap.uri: base: "x" is no DN: DN ended with incomplete type, value pair`,
			`2: ldap.uri: filter: "(cn=a": unbalanced parentheses`,
			`2: ldap.uri: bindname: "y" is no DN: DN ended with incomplete type, value pair`,
		}},
		{"contradictions", `
ldap:
  uri:
    - ldap://h/dc=x?cn?one?(cn=a)?bindname=cn=a
    - ldap://i/dc=y?cn
  base: dc=x
  scope: sub
  filter: (cn=b)
  attributes: [sn]
  bind: {dn: cn=b, password_file: secret}
`, []string{
			`5: ldap.uri: base: "dc=y" differs from "dc=x" in line 4 (ldap.uri: base); they must agree, or be written once`,
			`7: ldap.scope: "sub" differs from "one" in line 4 (ldap.uri: scope); they must agree, or be written once`,
			`8: ldap.filter: "(cn=b)" differs from "(cn=a)" in line 4 (ldap.uri: filter); they must agree, or be written once`,
			`9: ldap.attributes: ["sn"] differs from ["cn"] in line 4 (ldap.uri: attributes); they must agree, or be written once`,
			`10: ldap.bind.dn: "cn=b" differs from "cn=a" in line 4 (ldap.uri: bindname); they must agree, or be written once`,
		}},

		// The identity.
		{"method", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind: {method: sasl}\n", []string{`4: ldap.bind.method: "sasl" is not one of simple, anonymous, external, gssapi`}},
		{"simple without anything", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind: {method: simple, password_file: secret}\n", []string{"4: ldap.bind.dn is missing; a simple bind needs the DN to bind with"}},
		{"password without DN", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind: {password_file: secret}\n", []string{"4: ldap.bind.password_file: a password needs ldap.bind.dn, the DN to bind with"}},
		{"anonymous with a DN", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind: {method: anonymous, dn: cn=a}\n", []string{`4: ldap.bind.method: an anonymous bind has no DN, but ldap.bind.dn is "cn=a"; remove one of them`}},
		{"no password", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind:\n    dn: cn=a\n", []string{"4: ldap.bind.password_file is missing; a simple bind needs a password"}},
		{"no password for the URL", "ldap:\n  uri: ldap://h/dc=x????bindname=cn=a\n", []string{"2: ldap.bind.password_file is missing; a simple bind needs a password"}},
		{"no such file", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind:\n    dn: cn=a\n    password_file: nowhere\n", []string{"6: ldap.bind.password_file: there is no file nowhere"}},
		{"a directory", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind:\n    dn: cn=a\n    password_file: /\n", []string{"6: ldap.bind.password_file: cannot read /: it is a directory, not a file"}},
		{"below a file", "ldap:\n  uri: ldap://h\n  base: dc=x\n  bind:\n    dn: cn=a\n    password_file: secret/a\n", []string{"6: ldap.bind.password_file: cannot read secret/a: not a directory"}},

		// Modules.
		{"names", minimal + "modules:\n  - {module: plain}\n  - name: a/b\n    module: plain\n  - {name: x, module: plain}\n  - module: jsonl\n    name: x\n    config: {path: p}\n", []string{
			"3: modules.name is missing; every module has a name of its own, which its state is kept under",
			`4: modules.name: "a/b" is no module name: want at most 64 letters, digits, '-', '_' or '.', beginning with a letter or digit`,
			`8: modules.name: "x" is in line 6 already; names must differ, use module: to say what is behind one`,
		}},
		{"unknown modules", minimal + "modules:\n  - name: jsnol\n  - name: people\n  - name: b\n    module: webhook\n    ldap_filter: (a\n", []string{
			`3: modules.name: no module "jsnol" is registered; did you mean "jsonl"? Registered: jsonl, plain, pool, script, unfiltered`,
			`4: modules.name: no module "people" is registered; if this is a name of your own, add module: with one of jsonl, plain, pool, script, unfiltered`,
			`6: modules.module: no module "webhook" is registered; registered: jsonl, plain, pool, script, unfiltered`,
			`7: modules.ldap_filter: "(a": unbalanced parentheses`,
		}},
		{"spec", minimal + `modules:
  - name: plain
    ldap_filter: (uid=*
    attributes: [uid, "*"]
    parallelism: 2
  - name: a
    module: pool
    ldap_filter: ''
    run_asynchronously: false
  - name: b
    module: plain
    parallelism: auto
    run_asynchronously: false
  - name: c
    module: script
  - name: unfiltered
  - {name: d, module: pool, parallelism: 3, run_asynchronously: [true]}
`, []string{
			`4: modules.ldap_filter: "(uid=*": unbalanced parentheses`,
			`5: modules.attributes: "*" is no attribute name; leave the list empty for all`,
			"6: modules.parallelism: more than one worker needs run_asynchronously: true",
			"9: modules.ldap_filter is empty; give it a value or leave the key out",
			"10: modules.run_asynchronously: module pool asks for more than one worker; add parallelism: 1",
			"13: modules.parallelism: more than one worker needs run_asynchronously: true, but line 14 says false",
			`15: the filter of module script: "(own": unbalanced parentheses`,
			"17: module unfiltered: ldap_filter is empty; (objectClass=*) matches every entry",
			"18: modules.run_asynchronously: want true or false, have a list",
		}},
		{"module configurations", minimal + `modules:
  - name: jsonl
    config:
      pth: a
      fsync: perhaps
      path: a
      path: b
  - name: a
    module: jsonl
  - name: b
    module: jsonl
    config: {fsync: true}
  - name: plain
    config:
      path: a
  - name: c
    module: plain
    config: [a]
  - name: d
    module: script
    config:
      lines: [1, -2, -3]
  - name: e
    module: script
    config:
      filter: none
  - name: f
    module: script
    config:
      lines: [1, b, 1.5]
`, []string{
			`5: unknown key "pth"; did you mean "path"?`,
			`6: modules.config.fsync: want true or false, have "perhaps"`,
			`8: duplicate key "path", which line 7 has already; keep one of them`,
			"9: modules.config of jsonl, which is not given: path is empty: name the file to append to",
			"13: modules.config of jsonl: path is empty: name the file to append to",
			`16: unknown key "path" in modules.config, which has no keys; remove it`,
			"19: modules.config: want a mapping (key: value), have a list",
			"22: modules.config of script: line -2 is negative",
			"22: modules.config of script: line -3 is negative",
			"26: modules.config of script: the script has no filter",
			`31: modules.config.lines: want a whole number, have "b"`,
			"31: modules.config.lines: want a whole number, have 1.5",
		}},

		// Anchors.
		{"in an anchor", minimal + "modules:\n  - &a\n    name: plain\n    tmeout: 1s\n  - <<: *a\n    name: b\n    module: plain\n", []string{`5: unknown key "tmeout"; did you mean "timeout"?`}},
		{"merge of a text", minimal + "log:\n  <<: a\n", []string{`3: log.<<: want a mapping, an alias of one, or a list of these, have "a"`}},
		{"merge of lists", minimal + "log:\n  <<: [[{level: info}], a]\n", []string{
			"3: log.<<: want a mapping, or an alias of one, have a list",
			`3: log.<<.<<: want a mapping, an alias of one, or a list of these, have "a"`,
		}},
		{"two merges", minimal + "log:\n  <<: {level: info}\n  <<: {format: json}\n", []string{`4: duplicate key "<<", which line 3 has already; keep one of them`}},
		{"list of itself", minimal + "modules: &a\n  - *a\n", []string{"2: modules: want a mapping (key: value), have a list"}},
		{"merged into itself", minimal + "log: &a\n  <<: *a\n", []string{"3: log.<<.<<: the anchor &a contains itself"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := ""
			for _, line := range test.want {
				want += "listenerd.yaml:" + line + "\n"
			}
			if got := problems(t, test.yaml, registered()); got+"\n" != want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", test.yaml, got, want)
			}
		})
	}
}

func TestModuleRegistry(t *testing.T) {
	got := problems(t, minimal+"modules: [{name: a}]\n", nil)
	if want := `listenerd.yaml:2: modules.name: no module "a" is registered, nor any other`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = problems(t, minimal, append(registered(), registered()[0]))
	if want := `listenerd.yaml: two registered modules have the name "jsonl"; a program registers each name once`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "large"), strings.Repeat("#\n", 1<<20), 0o600)
	for path, want := range map[string]string{
		"nowhere.yaml": "nowhere.yaml: cannot read the configuration: no such file or directory",
		"":             ": cannot read the configuration: it is a directory, not a file",
		"large":        "large: cannot read the configuration: it is too large",
	} {
		_, err := config.Load(dir+"/"+path, nil, nil)
		if got := strings.ReplaceAll(err.Error(), dir+"/", ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}

	path := write(t, unreadable+"  bind: {dn: cn=a, password_file: secret}\n")
	secret := filepath.Join(filepath.Dir(path), "secret")
	for content, want := range map[string]string{
		"":                            "secret is empty; write the password into it",
		"\n":                          "secret is empty; write the password into it",
		strings.Repeat("x", 64<<10+1): "cannot read secret: it is too large",
	} {
		if err := os.WriteFile(secret, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(path, nil, nil)
		got := strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
		if want := "listenerd.yaml:5: ldap.bind.password_file: " + want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestTooManyProblems has aliases of aliases of a wrong entry.
func TestTooManyProblems(t *testing.T) {
	var text strings.Builder
	text.WriteString("modules:\n")
	for range 2000 {
		text.WriteString("  - {nme: a}\n")
	}
	lines := strings.Split(problems(t, text.String(), nil), "\n")
	if last := lines[len(lines)-1]; len(lines) != 1001 || last != "listenerd.yaml:2002: there are more problems; repair these first" {
		t.Errorf("%d problems, the last is %s", len(lines), last)
	}
}
