package daemon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/event"
)

// journal is a file of event documents that grows.
type journal struct {
	path   string
	torn   bool // killed processes may have left pieces of lines, and empty ones are no matter
	offset int64
	docs   []event.Document
}

// next reads the whole lines that were added, and returns all; none if there is no
// file.
func (j *journal) next(t testing.TB) []event.Document {
	t.Helper()
	file, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, j.offset, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return j.docs
		}
		j.offset += int64(len(line)) + 1
		text = rest
		if j.torn && !json.Valid(line) {
			continue
		}
		var d event.Document
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("%s: %v: %s", j.path, err, line)
		}
		j.docs = append(j.docs, d)
	}
}

// describe writes the document as one line, apart from its time, seq, attempt and
// module and the operational attributes. Values are a set.
func describe(d event.Document) string {
	if d.UUID == "" {
		return string(d.Call)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", d.Call, d.DN)
	if d.OldDN != "" {
		fmt.Fprintf(&b, " from %s", d.OldDN)
	}
	fmt.Fprintf(&b, " (%s) %s", d.UUID, d.Cause)
	if d.Changed != nil {
		fmt.Fprintf(&b, " changed %q", d.Changed)
	}
	for _, state := range []struct {
		name  string
		attrs map[string][]event.Value
	}{{"old", d.Old}, {"new", d.New}} {
		if state.attrs != nil {
			fmt.Fprintf(&b, " %s %q", state.name, userAttributes(state.attrs))
		}
	}
	return b.String()
}

func describeAll(docs []event.Document) []string {
	out := make([]string, len(docs))
	for i, d := range docs {
		out[i] = describe(d)
	}
	return out
}

// userAttributes returns name=values of all but the operational attributes, sorted.
func userAttributes(attrs map[string][]event.Value) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if !listener.Operational(name) {
			out = append(out, fmt.Sprintf("%s=%q", name, slices.Sorted(slices.Values(attrs[name]))))
		}
	}
	return out
}

// The expected calls, as describe writes them.

func create(e entry, cause listener.Cause) string {
	return describe(event.Document{Call: listener.KindCreate, Cause: cause, UUID: e.uuid, DN: event.Value(e.dn), New: e.values()})
}

func modify(before, after entry, changed ...string) string {
	if changed == nil {
		changed = []string{}
	}
	d := event.Document{
		Call: listener.KindModify, Cause: listener.CauseLive, UUID: after.uuid, DN: event.Value(after.dn),
		Changed: changed, Old: before.values(), New: after.values(),
	}
	if before.dn != after.dn {
		d.OldDN = event.Value(before.dn)
	}
	return describe(d)
}

func remove(e entry, cause listener.Cause) string {
	return describe(event.Document{Call: listener.KindRemove, Cause: cause, UUID: e.uuid, DN: event.Value(e.dn), Old: e.values()})
}

func (e entry) values() map[string][]event.Value {
	out := map[string][]event.Value{}
	for name, values := range e.attrs {
		for _, v := range values {
			out[name] = append(out[name], event.Value(v))
		}
	}
	return out
}

// compareCalls compares calls in their order.
func compareCalls(t testing.TB, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i < len(got) && i < len(want) && got[i] == want[i] {
			continue
		}
		t.Errorf("%s: call %d of %d is\n%s\nwant %d, this one\n%s", what, i+1, len(got), at(got, i), len(want), at(want, i))
		for _, g := range got {
			t.Log("  got  " + short(g))
		}
		for _, w := range want {
			t.Log("  want " + short(w))
		}
		return
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "<none>"
}

func short(text string) string {
	head, _, _ := strings.Cut(text, " changed ")
	head, _, _ = strings.Cut(head, ` old [`)
	head, _, _ = strings.Cut(head, ` new [`)
	return head
}

// compareParallel compares calls whose order counts only within one name.
func compareParallel(t testing.TB, what string, got, want []string) {
	t.Helper()
	byName := func(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) }
	compareCalls(t, what, slices.SortedStableFunc(slices.Values(got), byName), slices.SortedStableFunc(slices.Values(want), byName))
}

// nameOf returns the DN in a described call.
func nameOf(call string) string {
	_, rest, _ := strings.Cut(call, " ")
	name, _, _ := strings.Cut(rest, " (")
	name, _, _ = strings.Cut(name, " from ")
	return name
}
