package store

import (
	"testing"

	"go.etcd.io/bbolt"
)

// SetFormat writes another format version into the file.
func SetFormat(t *testing.T, s *Store, version string) {
	t.Helper()
	err := s.db.Update(func(b *bbolt.Tx) error {
		return b.Bucket(bucketMeta).Put([]byte("format"), []byte(version))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Written returns the bytes of all pages that transactions have written so far.
func Written(s *Store) int64 {
	stats := s.db.Stats()
	return stats.TxStats.GetPageAlloc()
}
