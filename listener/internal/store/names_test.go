package store_test

import (
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// definitions of a directory whose type "key" is compared by the rule.
func definitions(rule string) schema.Definitions {
	return schema.Definitions{
		Vendor:         schema.OpenLDAP,
		MatchingRules:  []string{"( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 2.5.13.5 NAME 'caseExactMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"},
		AttributeTypes: []string{"( 1.1.1 NAME ( 'key' 'clef' ) EQUALITY " + rule + " SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 1.1.2 NAME 'dc' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"},
	}
}

func setSchema(t *testing.T, s *store.Store, rule string) {
	t.Helper()
	d := definitions(rule)
	parsed, problems := schema.Parse(d)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	update(t, s, func(tx *store.Tx) error { return tx.SetSchema(parsed, d) })
}

// Whose name a name is, and what is below it, is what the schema says at the time; what is
// stored stays as it is.
func TestNamesFollowTheSchema(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	setSchema(t, s, "caseExactMatch")
	update(t, s, func(tx *store.Tx) error {
		for i, dn := range []string{"dc=x", "key=a,dc=x", "key=A,dc=x", "dc=1,key=a,dc=x", "dc=2,key=A,dc=x", "dc=3,clef=A,dc=x"} {
			if err := tx.Insert(record(byte(i+1), dn)); err != nil {
				return err
			}
			if err := tx.Hold(record(byte(i+10), dn)); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(what string, exact bool) {
		t.Helper()
		_ = s.View(func(tx *store.Tx) error {
			below := func(dn string) []uint64 {
				ids, _ := tx.Below(dn, nil, 10)
				return ids
			}
			_, skips := tx.AfterSubtree("key=a,dc=x")
			if skips == exact {
				t.Errorf("%s: a subtree that others are in is left out at once: %v", what, skips)
			}
			if exact {
				assertIDs(t, what, tx.At("key=a,dc=x"), 2)
				assertIDs(t, what, tx.At("clef=A,dc=x"), 3)
				assertIDs(t, what, below("key=a,dc=x"), 4)
				assertIDs(t, what, below("KEY=A,dc=x"), 5, 6)
				assertIDs(t, what, []uint64{tx.HeldName("key=a,dc=x"), tx.HeldName("clef=A,dc=x"), tx.HeldName("key=b,dc=x")}, 2, 3, 0)
				return nil
			}
			assertIDs(t, what, tx.At("key=a,dc=x"), 2, 3)
			assertIDs(t, what, below("clef=a,dc=x"), 4, 5, 6)
			assertIDs(t, what, []uint64{tx.HeldName("key=a,dc=x")}, 3)
			return nil
		})
	}
	check("exact", true)
	setSchema(t, s, "caseIgnoreMatch")
	check("ignoring case", false)
	setSchema(t, s, "caseExactMatch")
	update(t, s, func(tx *store.Tx) error { return tx.Unhold(record(12, "").UUID) })
	_ = s.View(func(tx *store.Tx) error {
		assertIDs(t, "let go", []uint64{tx.HeldName("key=A,dc=x"), tx.HeldName("key=a,dc=x")}, 0, 2)
		return nil
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, dir).Schema(); again.Hash() != definitions("caseExactMatch").Hash() || again.Attribute("clef") == nil {
		t.Error("the schema is not what was stored")
	}
}

// Entries know their attributes by the names of the schema, those that come as well as
// those that are read.
func TestEntriesKnowNames(t *testing.T) {
	s := open(t, t.TempDir())
	setSchema(t, s, "caseExactMatch")
	attrs := listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "KEY", Values: []string{"a"}}).BER()
	update(t, s, func(tx *store.Tx) error {
		r := tx.NewRecord(listener.UUID{1}, "dc=x", attrs)
		if e, err := r.View(); err != nil || e.Get("clef") != "a" {
			t.Errorf("as it comes: %v, %v", e, err)
		}
		return tx.Insert(r)
	})
	_ = s.View(func(tx *store.Tx) error {
		r, err := tx.Lookup(listener.UUID{1})
		if err != nil {
			t.Fatal(err)
		}
		for _, read := range []func() (*listener.Entry, error){r.View, r.Entry} {
			if e, err := read(); err != nil || e.Get("1.1.1") != "a" || e.Get("sn") != "" {
				t.Errorf("as it is read: %v, %v", e, err)
			}
		}
		return nil
	})
}

func TestSchemaOfAbortedTransaction(t *testing.T) {
	s := open(t, t.TempDir())
	if !s.Schema().Fallback() {
		t.Fatal("a new store does not have the built-in schema")
	}
	d := definitions("caseExactMatch")
	parsed, _ := schema.Parse(d)
	aborted := s.Update(func(tx *store.Tx) error {
		if err := tx.SetSchema(parsed, d); err != nil || tx.Schema() != parsed {
			t.Errorf("%v, or the transaction doesn't see its own schema", err)
		}
		return store.ErrLocked
	})
	if aborted == nil || !s.Schema().Fallback() {
		t.Errorf("error %v; the schema of the transaction is in force", aborted)
	}
}
