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
