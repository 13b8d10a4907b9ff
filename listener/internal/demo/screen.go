package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// screen prints for people; with colours on a terminal, unless NO_COLOR is set.
type screen struct {
	w      io.Writer
	colour bool
	number int // of the last title
}

func newScreen(f *os.File) *screen {
	return &screen{w: f, colour: term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (s *screen) title(format string, args ...any) {
	s.number++
	fmt.Fprintf(s.w, "\n%s\n", s.paint(bold, fmt.Sprintf("%d. ", s.number)+fmt.Sprintf(format, args...)))
}

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.w, "   "+format+"\n", args...) }

// text prints several lines.
func (s *screen) text(text string) {
	for line := range strings.Lines(text) {
		s.line("%s", strings.TrimRight(line, "\n"))
	}
}

// change prints what was done to the directory.
func (s *screen) change(text string) { s.line("%s", s.paint(cyan, "> "+text)) }

// call prints one call of a module.
func (s *screen) call(e event.Document) {
	colour := map[listener.Kind]string{listener.KindCreate: green, listener.KindModify: yellow, listener.KindRemove: red}[e.Call]
	if housekeeping(e) {
		colour = dim
	}
	line := fmt.Sprintf("%-18s %s  %s", e.Module, s.paint(colour, fmt.Sprintf("%-8s", e.Call)), short(string(e.DN)))
	s.line("%s", strings.TrimRight(line, " "))
	for _, detail := range details(e) {
		s.line("%-18s %-8s  %s", "", "", detail)
	}
}

// details says what changed: the place, then each changed attribute.
func details(e event.Document) []string {
	var lines []string
	if e.OldDN != "" {
		lines = append(lines, "moved from "+short(string(e.OldDN)))
	}
	for _, name := range e.Changed {
		removed, added := without(e.Old[name], e.New[name]), without(e.New[name], e.Old[name])
		switch {
		case len(added) == 0:
			lines = append(lines, name+": removed "+quote(removed))
		case len(removed) == 0:
			lines = append(lines, name+": added "+quote(added))
		default:
			lines = append(lines, name+": "+quote(removed)+" -> "+quote(added))
		}
	}
	return lines
}

func without(values, others []event.Value) []event.Value {
	return slices.DeleteFunc(slices.Clone(values), func(v event.Value) bool { return slices.Contains(others, v) })
}

func quote(values []event.Value) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", string(v))
	}
	return strings.Join(quoted, ", ")
}

// short leaves the directory's base out of a DN.
func short(dn string) string { return strings.TrimSuffix(dn, ","+slapdtest.BaseDN) }

// missing prints the calls that did not arrive.
func (s *screen) missing(calls []call) {
	for _, c := range calls {
		from := ""
		if c.oldDN != "" {
			from = ", moved from " + short(c.oldDN)
		}
		s.line("%s %s %s %s%s", s.paint(red, "missing:"), c.module, c.kind, short(c.dn), from)
	}
}

func (s *screen) failure(err error) { fmt.Fprintf(s.w, "\n%s %v\n", s.paint(red, "demo failed:"), err) }

// playground prints the commands to play with.
func (s *screen) playground(server *slapdtest.Server, d *daemon) {
	modify := "ldapmodify"
	if p, err := slapdtest.Locate(); err == nil && p.LDAPModify != "" {
		modify = p.LDAPModify
	}
	s.line("In another terminal, from this folder:")
	s.line("")
	table := tabwriter.NewWriter(s.w, 0, 0, 2, ' ', 0)
	row := func(what, command string) { fmt.Fprintf(table, "   %s\t%s\n", what, command) }
	row("how it is doing", d.program+" status -c "+d.config)
	for _, m := range modules {
		row("follow "+m.name, "tail -f "+d.events(m))
	}
	row("the daemon's log", "tail -f "+d.dir+"/listenerd.log")
	row("stop it all", fmt.Sprintf("Ctrl-C here, or kill %d", os.Getpid()))
	_ = table.Flush()
	fmt.Fprintf(s.w, `
   Change the directory, and the calls show up here:

%s -x -H %s -D %s -w %s <<END
dn: uid=kim,ou=interns,ou=leipzig,%s
changetype: modify
replace: mail
mail: kim@example.org
END

`, modify, server.URI(), slapdtest.RootDN, slapdtest.RootPassword, slapdtest.PeopleDN)
}

func (s *screen) whatNext() {
	s.title("What to try next")
	s.line("make demo KEEP=1                    the same, and it stays for you to play with")
	s.line("examples/listener_module_template   a module of your own in a few lines of Go")
	s.line("configs/listenerd.yaml              every setting, explained: follow your own directory")
	s.line("make help                           tests, benchmarks and the rest")
}
