package daemon_test

import (
	"strings"
	"testing"
)

// What a directory or a handler writes does not control the terminal of who looks at it,
// nor pass for another line.
func TestCommandsPrintNoControlCharacters(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	d.modify(bob, []string{"sn", "red\x1b[31m\nsn: Forged", "\u009b31m"})
	s.configure(server, instance("bad", "probe", "config.uid: bob", "config.do: fail", `config.until: "healed"`,
		`config.failed: "no\x1b[2J\tsuch\nfolder/file"`, "ldap_filter: (sn=red*)"))
	r := s.start()
	r.until("bob has failed", func() bool { return r.module("bad").Failing == 1 })
	for _, args := range [][]string{
		{"failed", "list"}, {"failed", "show", "bad", bob}, {"status"}, {"explain", "bad", bob},
	} {
		out := s.printed(args...)
		if i := strings.IndexFunc(out, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || 0x7f <= r && r <= 0x9f }); i >= 0 {
			t.Errorf("%q prints a control character: %q", args, out[max(0, i-20):])
		}
		if strings.Contains(out, "\nsn: Forged") {
			t.Errorf("%q prints a value on a line of its own: %s", args, out)
		}
	}
	if show := s.printed("failed", "show", "bad", bob); !strings.Contains(show, `+ sn: red\x1b[31m\nsn: Forged`) ||
		!strings.Contains(show, `+ sn: \x9b31m`) || !strings.Contains(show, `open no\x1b[2J`) {
		t.Errorf("show: %s", show)
	}
}

func TestUnknownCommandsAreNamedInFull(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, args := range [][]string{{"nothing"}, {"failed", "nothing"}, {"completion", "nothing"}} {
		out := s.command(args...)
		says(t, strings.Join(args, " "), out.code, 2, out.stderr, `unknown command "`+strings.Join(args, " ")+`"`)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := s.command("completion", shell); out.code != 0 || !strings.Contains(out.stdout, "listenerd") {
			t.Errorf("completion %s: exit code %d", shell, out.code)
		}
	}
}
