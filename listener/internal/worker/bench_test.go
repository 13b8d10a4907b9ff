package worker_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// BenchmarkNoOp makes calls that do nothing, with an entry of 1 KB each.
func BenchmarkNoOp(b *testing.B) {
	var attrs []listener.Attribute
	for i := range 20 {
		attrs = append(attrs, listener.Attribute{Name: fmt.Sprintf("attribute%d", i), Values: []string{strings.Repeat("v", 32)}})
	}
	e := listener.NewEntry(listener.UUID{1}, "uid=a,ou=people,dc=example,dc=com", attrs...)
	for _, workers := range []int{1, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			p := start(b, workers)
			var made atomic.Int64
			var running sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range workers {
				running.Go(func() {
					for made.Add(1) <= int64(b.N) {
						if err := p.Call(b.Context(), &listener.Call{Module: "people", Kind: listener.KindCreate, Cause: listener.CauseLive, Seq: 1, Attempt: 1, New: e}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			running.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
