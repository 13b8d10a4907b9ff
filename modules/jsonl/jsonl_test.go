package jsonl_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
	"github.com/listenerd/listenerd/modules/event"
	"github.com/listenerd/listenerd/modules/jsonl"
)

const ada = `
	dn: uid=ada,ou=people,dc=example,dc=com
	entryUUID: 30593fe3-f028-432e-9840-43c43e5fd2da
	uid: ada
	sn: Lovelace
	cn: Ada "Countess" <Lovelace>
	userPassword: {SSHA}secret
	modifyTimestamp: 20260101000000Z
	jpegPhoto:: /9j/4A==`

func config(change func(*jsonl.Config)) listenertest.Option { return listenertest.Config(change) }

// open opens the module on a file and returns both.
func open(t *testing.T, options ...listenertest.Option) (h *listenertest.Harness, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.jsonl")
	options = append([]listenertest.Option{config(func(c *jsonl.Config) { c.Path = path })}, options...)
	return listenertest.Open(t, jsonl.Module, options...), path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// documents parses every line of the file; each must be whole.
func documents(t *testing.T, path string) []event.Document {
	t.Helper()
	var docs []event.Document
	for line := range strings.Lines(read(t, path)) {
		var d event.Document
		if err := json.Unmarshal([]byte(line), &d); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("no whole line: %.300q: %v", line, err)
		}
		docs = append(docs, d)
	}
	return docs
}

// The bubble's clock stands at midnight, 1 January 2000.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, path := open(t)
		e := listenertest.Entry(t, ada)
		must(t, h.Create(t.Context(), e))
		e = listenertest.Set(e, "sn", "King", "Lovelace")
		e = listenertest.Set(e, "userPassword", "{SSHA}other")
		e = listenertest.Set(e, "modifyTimestamp", "20260102000000Z")
		must(t, h.Modify(t.Context(), e))
		e = listenertest.Set(e, "cn")
		e = listenertest.Move(e, "uid=ada,ou=alumni,dc=example,dc=com")
		must(t, h.Modify(t.Context(), e))
		must(t, h.Remove(t.Context(), e))
		must(t, h.PostRun(t.Context()))
		must(t, h.Clean(t.Context()))

		const (
			head = `{"time":"2000-01-01T00:00:00.000Z","module":"jsonl",`
			uuid = `"uuid":"30593fe3-f028-432e-9840-43c43e5fd2da",`
			one  = `{"cn":["Ada \"Countess\" <Lovelace>"],"entryUUID":["30593fe3-f028-432e-9840-43c43e5fd2da"],` +
				`"jpegPhoto":[{"base64":"/9j/4A=="}],"modifyTimestamp":["20260101000000Z"],"sn":["Lovelace"],"uid":["ada"]}`
			two = `{"cn":["Ada \"Countess\" <Lovelace>"],"entryUUID":["30593fe3-f028-432e-9840-43c43e5fd2da"],` +
				`"jpegPhoto":[{"base64":"/9j/4A=="}],"modifyTimestamp":["20260102000000Z"],"sn":["King","Lovelace"],"uid":["ada"]}`
			three = `{"entryUUID":["30593fe3-f028-432e-9840-43c43e5fd2da"],` +
				`"jpegPhoto":[{"base64":"/9j/4A=="}],"modifyTimestamp":["20260102000000Z"],"sn":["King","Lovelace"],"uid":["ada"]}`
		)
		want := strings.Join([]string{
			head + `"call":"initialize","attempt":1}`,
			head + `"call":"pre_run","attempt":1}`,
			head + `"call":"create","seq":1,"attempt":1,"cause":"live",` + uuid +
				`"dn":"uid=ada,ou=people,dc=example,dc=com","new":` + one + `}`,
			head + `"call":"modify","seq":2,"attempt":1,"cause":"live",` + uuid +
				`"dn":"uid=ada,ou=people,dc=example,dc=com","changed":["sn"],"old":` + one + `,"new":` + two + `}`,
			head + `"call":"modify","seq":3,"attempt":1,"cause":"live",` + uuid +
				`"dn":"uid=ada,ou=alumni,dc=example,dc=com","old_dn":"uid=ada,ou=people,dc=example,dc=com",` +
				`"changed":["cn"],"old":` + two + `,"new":` + three + `}`,
			head + `"call":"remove","seq":4,"attempt":1,"cause":"live",` + uuid +
				`"dn":"uid=ada,ou=alumni,dc=example,dc=com","old":` + three + `}`,
			head + `"call":"post_run","attempt":1}`,
			head + `"call":"clean","attempt":1}`,
		}, "\n") + "\n"
		if got := read(t, path); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestSpec(t *testing.T) {
	spec := jsonl.Module.Spec()
	must(t, spec.Validate())
	if spec.Name != "jsonl" || spec.LDAPFilter != "(objectClass=*)" || spec.RunAsynchronously {
		t.Errorf("unexpected spec %+v", spec)
	}
}

func TestSecretsAreLeftOut(t *testing.T) {
	h, path := open(t)
	e := listenertest.Entry(t, "dn: uid=a\nUSERpassword;x-old: one\nsambaNTPassword: two\nsn: A")
	must(t, h.Create(t.Context(), e))
	must(t, h.Modify(t.Context(), listenertest.Set(e, "sambaNTPassword", "three")))
	text := read(t, path)
	for _, word := range []string{"one", "two", "three", "assword"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is in\n%s", word, text)
		}
	}
	last := documents(t, path)[3]
	if last.Changed == nil || len(last.Changed) != 0 {
		t.Errorf("changed = %q: want an empty list", last.Changed)
	}
}

func TestSecretsOnDemand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h := listenertest.Open(t, jsonl.Module, config(func(c *jsonl.Config) { c.Path, c.Secrets = path, true }))
	e := listenertest.Entry(t, "dn: uid=a\nuserPassword: one")
	must(t, h.Create(t.Context(), e))
	must(t, h.Modify(t.Context(), listenertest.Set(e, "userPassword", "two")))
	last := documents(t, path)[3]
	if fmt.Sprint(last.Changed, last.Old, last.New) != "[userPassword] map[userPassword:[one]] map[userPassword:[two]]" {
		t.Errorf("got %+v", last)
	}
}

func TestInstanceName(t *testing.T) {
	h, path := open(t, listenertest.Env(func(env *listener.Env) { env.Name = "people" }))
	must(t, h.PreRun(t.Context()))
	if d := documents(t, path)[1]; d.Module != "people" || d.Call != listener.KindPreRun {
		t.Errorf("got %+v", d)
	}
}

func TestFsync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h := listenertest.Open(t, jsonl.Module, config(func(c *jsonl.Config) { c.Path, c.Fsync = path, true }))
	must(t, h.Create(t.Context(), listenertest.Entry(t, ada)))
	if n := len(documents(t, path)); n != 3 {
		t.Errorf("%d lines", n)
	}
}

func TestParallelCallsWriteWholeLines(t *testing.T) {
	h, path := open(t, listenertest.Spec(func(s *listener.Spec) { s.RunAsynchronously, s.Parallelism = true, 8 }))
	const workers, calls = 8, 200
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range calls {
				e := listenertest.Set(listenertest.Entry(t, ada), "description", strings.Repeat("x", i*17%4096))
				dn := fmt.Sprintf("uid=%d-%d", w, i)
				attrs := []listener.Attribute{}
				for name, values := range e.All() {
					attrs = append(attrs, listener.Attribute{Name: name, Values: values.Strings()})
				}
				if err := h.Create(t.Context(), listener.NewEntry(listenertest.UUID(dn), dn, attrs...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	seen := map[uint64]bool{}
	for _, d := range documents(t, path)[2:] {
		seen[d.Seq] = true
	}
	if len(seen) != workers*calls {
		t.Errorf("%d documents: want %d", len(seen), workers*calls)
	}
}

func TestCallAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	instance, err := jsonl.Module.Configure(func(into any) error {
		into.(*jsonl.Config).Path = path
		return nil
	})
	must(t, err)
	h, err := instance.Open(t.Context(), listener.Env{Name: "j"})
	must(t, err)
	closer := h.(interface{ Close() error })
	must(t, closer.Close())
	must(t, closer.Close())
	if err := h.Remove(t.Context(), listenertest.Entry(t, ada)); err == nil {
		t.Error("wrote after Close")
	}
}

func BenchmarkCreate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal")
	instance, _ := jsonl.Module.Configure(func(into any) error {
		into.(*jsonl.Config).Path = path
		return nil
	})
	h, err := instance.Open(b.Context(), listener.Env{Name: "j"})
	if err != nil {
		b.Fatal(err)
	}
	e := listenertest.Entry(b, ada)
	for i := range 12 { // about 1 KB
		e = listenertest.Set(e, fmt.Sprintf("attribute%d", i), strings.Repeat("v", 60))
	}
	ctx := listener.WithCall(b.Context(), &listener.Call{Seq: 1, Attempt: 1, Cause: listener.CauseLive})
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Create(ctx, e); err != nil {
			b.Fatal(err)
		}
	}
}
