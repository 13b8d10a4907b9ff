package shared_test

import (
	"context"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

func BenchmarkLocal(b *testing.B) { benchmark(b, shared.NewLocal().Open("d", "m")) }

func BenchmarkMemcached(b *testing.B) {
	store := newMemcached(b, shared.Config{Servers: []string{slapdtest.Memcached(b)}})
	benchmark(b, store.Open("d", "m"))
}

// benchmark measures single operations; lock is one round of taking and freeing it.
func benchmark(b *testing.B, s listener.Shared) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	value := make([]byte, 100)
	operations := []struct {
		name string
		run  func(key string) error
	}{
		{"set", func(key string) error { return s.Set(ctx, key, value, 0) }},
		{"get", func(key string) error { _, err := s.Get(ctx, key); return err }},
		{"lock", func(key string) error { return s.WithLock(ctx, key, 0, nothing) }},
	}
	for _, o := range operations {
		b.Run(o.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := o.run("k"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, o := range operations {
		b.Run(o.name+"/16 workers", func(b *testing.B) {
			b.SetParallelism(8) // for each of two CPUs
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := o.run("k"); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
