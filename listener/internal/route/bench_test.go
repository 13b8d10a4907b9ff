package route_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// BenchmarkFill measures the first fill of a mirror, without a network: entries of
// about 1 KB with random UUIDs, flushed every 8,000.
func BenchmarkFill(b *testing.B) { benchmarkLoad(b, false) }

// BenchmarkReload measures the same as a full load of a filled mirror, in which a value
// of each entry has changed.
func BenchmarkReload(b *testing.B) { benchmarkLoad(b, true) }

func benchmarkLoad(b *testing.B, again bool) {
	entries := make([]syncrepl.Entry, 8_000)
	filler := strings.Repeat("x", 100)
	var attrs []listener.Attribute
	for i := range 8 {
		attrs = append(attrs, listener.Attribute{Name: fmt.Sprint("description;x-", i), Values: []string{filler}})
	}
	body := []byte(listener.NewEntry(listener.UUID{}, "", attrs...).BER())
	attrs[3].Values = []string{strings.Replace(filler, "x", "y", 1)}
	changed := []byte(listener.NewEntry(listener.UUID{}, "", attrs...).BER())
	s, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	f, err := filter.Compile("(objectClass=person)", nil)
	if err != nil {
		b.Fatal(err)
	}
	r, err := route.New(s, route.Config{Base: base, Modules: []*route.Module{{Name: "m", Filter: f}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	load := func(body []byte) {
		r.LoadAll()
		_, err := r.Begin(ctx, syncrepl.Session{})
		must(err)
		uuids := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		b.ResetTimer()
		for n := 0; n < b.N; {
			b.StopTimer()
			for i := range entries {
				entries[i] = syncrepl.Entry{DN: fmt.Appendf(nil, "uid=user%d,ou=people,dc=x", n+i), Attributes: body}
				binary.BigEndian.PutUint64(entries[i].UUID[:], uuids.Uint64())
				binary.BigEndian.PutUint64(entries[i].UUID[8:], uuids.Uint64())
			}
			b.StartTimer()
			for i := range min(len(entries), b.N-n) {
				must(r.Entry(ctx, &entries[i]))
				n++
			}
			must(r.Flush(ctx))
		}
		must(r.Sweep(ctx))
		must(r.RefreshDone(ctx))
		must(r.Flush(ctx))
	}
	load(body)
	if again {
		load(changed)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
