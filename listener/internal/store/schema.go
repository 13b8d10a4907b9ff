package store

import (
	"fmt"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

var keyDefinitions = []byte("definitions")

// knowledge is a schema, and what entries know of it.
type knowledge struct {
	schema *schema.Schema
	names  *listener.AttributeNames
}

func newKnowledge(s *schema.Schema) *knowledge {
	var types []listener.AttributeType
	for _, t := range s.Attributes() {
		types = append(types, listener.AttributeType{Names: t.Keys(), Operational: t.Usage.Operational()})
	}
	return &knowledge{s, listener.NewAttributeNames(types)}
}

// Schema returns the schema of the directory that is mirrored: what was stored last, else
// the built-in one. Safe for concurrent use.
func (s *Store) Schema() *schema.Schema { return s.known.Load().schema }

// Schema returns [Store.Schema] as the transaction sees it.
func (tx *Tx) Schema() *schema.Schema {
	if tx.learnt != nil {
		return tx.learnt.schema
	}
	return tx.known.schema
}

// SetSchema stores a schema with the definitions that it was made from. It is in force for
// transactions that begin after the commit.
func (tx *Tx) SetSchema(s *schema.Schema, d schema.Definitions) error {
	raw, err := d.Marshal()
	if err != nil {
		return err
	}
	tx.learnt = newKnowledge(s)
	return tx.put(tx.definitions, keyDefinitions, raw)
}

// loadSchema brings the stored schema into force.
func (s *Store) loadSchema() error {
	s.known.Store(newKnowledge(schema.Builtin()))
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
		s.known.Store(newKnowledge(parsed))
		return nil
	})
}

// Names returns the names that the entries which the transaction reads know.
func (tx *Tx) Names() *listener.AttributeNames { return tx.known.names }
