package store

import (
	"fmt"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

var keyDefinitions = []byte("definitions")

// Schema returns the schema of the directory that is mirrored: what was stored last, else
// the built-in one. Safe for concurrent use.
func (s *Store) Schema() *schema.Schema { return s.schema.Load() }

// Schema returns [Store.Schema] as the transaction sees it.
func (tx *Tx) Schema() *schema.Schema {
	if tx.newSchema != nil {
		return tx.newSchema
	}
	return tx.schema
}

// SetSchema stores a schema with the definitions that it was made from. It is in force for
// transactions that begin later.
func (tx *Tx) SetSchema(s *schema.Schema, d schema.Definitions) error {
	raw, err := d.Marshal()
	if err != nil {
		return err
	}
	tx.newSchema = s
	return tx.put(tx.definitions, keyDefinitions, raw)
}

// loadSchema makes the stored schema the one in force.
func (s *Store) loadSchema() error {
	s.schema.Store(schema.Builtin())
	return s.View(func(tx *Tx) error {
		raw := tx.definitions.Get(keyDefinitions)
		if raw == nil {
			return nil
		}
		d, err := schema.Unmarshal(raw)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		parsed, _ := schema.Parse(d) // who stored it was told of problems
		s.schema.Store(parsed)
		return nil
	})
}
