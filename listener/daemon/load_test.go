package daemon_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The size of the tree that load works on, and how fast.
const (
	fewestEntries = 40
	mostEntries   = 120
	changeEvery   = 3 * time.Millisecond // per writer
)

var loadDN = "ou=load," + base

// load is writers that change the server's content at random: they add, modify,
// rename, move and delete people and units.
//
// They modify at the same time, each other entries, but change the tree in turns:
// slapd may report what was done at one moment in another order than it did it (seen
// on 2.5.13: an entry added below a container and the container's rename), which no
// consumer can mend.
type load struct {
	server  *slapdtest.Server
	stop    func() // ends the writers
	changes atomic.Int64

	mu        sync.RWMutex // held during changes, alone by who changes the tree; guards what follows
	noDeletes bool
	noTree    bool
}

func startLoad(t testing.TB, server *slapdtest.Server, writers int, rng *rand.Rand) *load {
	t.Helper()
	d := newDirectory(t, server)
	d.unit("load", base)
	for i := range 3 {
		d.unit(fmt.Sprintf("u%d", i), loadDN)
	}
	for i := range fewestEntries {
		d.person(fmt.Sprintf("p%d", i), fmt.Sprintf("ou=u%d,%s", i%3, loadDN))
	}
	ended := make(chan struct{})
	l := &load{server: server}
	var running sync.WaitGroup
	for i := range writers {
		w := &writer{t: t, load: l, number: i, of: writers, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
		running.Go(func() { w.run(ended) })
	}
	l.stop = sync.OnceFunc(func() {
		close(ended)
		running.Wait()
		t.Logf("%d changes", l.changes.Load())
	})
	t.Cleanup(l.stop)
	return l
}

// allowDeletes switches deletes on or off. A slapd that is killed right after a
// delete may forget that there was one, so there is none in the last moments before
// a kill. When it returns, no delete is under way.
func (l *load) allowDeletes(allow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noDeletes = !allow
}

// allowTreeChanges switches everything but modifies on or off. When it returns, no
// change of the tree is under way.
func (l *load) allowTreeChanges(allow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noTree = !allow
}

type writer struct {
	*load
	t          testing.TB
	number, of int
	conn       *ldap.Conn // nil: to be made
	rng        *rand.Rand
}

func (w *writer) run(ended <-chan struct{}) {
	tick := time.NewTicker(changeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			if w.conn != nil {
				_ = w.conn.Close()
			}
			return
		case <-tick.C:
			if err := w.change(); err != nil {
				w.failed(err)
			}
		}
	}
}

// failed passes over what happens to writers that don't know of each other, and to
// those whose server is killed.
func (w *writer) failed(err error) {
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultEntryAlreadyExists,
		ldap.LDAPResultNotAllowedOnNonLeaf, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultOther): // back_mdb, to some renames of containers
	case w.conn == nil || w.conn.IsClosing() || ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultUnavailable, ldap.LDAPResultBusy):
		if w.conn != nil {
			_ = w.conn.Close()
		}
		w.conn = nil
	default:
		w.t.Errorf("a writer: %v", err)
	}
}

func (w *writer) change() (err error) {
	if w.conn == nil {
		if w.conn, err = w.server.Dial(slapdtest.RootDN, slapdtest.RootPassword); err != nil {
			w.conn = nil
			return err
		}
	}
	if w.rng.IntN(100) < 30 {
		err = w.modifyOne()
	} else {
		err = w.changeTree()
	}
	if err == nil {
		w.changes.Add(1)
	}
	return err
}

// modifyOne modifies one of the entries that are this writer's by their names.
func (w *writer) modifyOne() error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	_, persons, err := w.look()
	if err != nil {
		return err
	}
	persons = slices.DeleteFunc(persons, func(dn string) bool {
		return int(crc32.ChecksumIEEE([]byte(dn)))%w.of != w.number
	})
	if len(persons) == 0 {
		return nil
	}
	return w.modify(w.pick(persons))
}

// look returns what there is.
func (w *writer) look() (units, persons []string, err error) {
	found, err := w.conn.Search(ldap.NewSearchRequest(loadDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"1.1"}, nil))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range found.Entries {
		if strings.HasPrefix(e.DN, "uid=") {
			persons = append(persons, e.DN)
		} else {
			units = append(units, e.DN)
		}
	}
	slices.Sort(units) // the root is the shortest, but not the first
	slices.Sort(persons)
	return units, persons, nil
}

func (w *writer) pick(from []string) string { return from[w.rng.IntN(len(from))] }

// Names are few, so that they come back.
func (w *writer) uid() string  { return fmt.Sprintf("uid=p%d", w.rng.IntN(mostEntries)) }
func (w *writer) unit() string { return fmt.Sprintf("ou=u%d", w.rng.IntN(9)) }

// someUnit is a unit other than the root, so that it can be renamed.
func (w *writer) someUnit(units []string) (string, bool) {
	units = slices.DeleteFunc(slices.Clone(units), func(dn string) bool { return dn == loadDN })
	if len(units) == 0 {
		return "", false
	}
	return w.pick(units), true
}

// changeTree makes one change, or two that belong together.
func (w *writer) changeTree() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noTree {
		return nil
	}
	units, persons, err := w.look()
	if err != nil {
		return err
	}
	kind := w.rng.IntN(100)
	if len(persons) < fewestEntries {
		kind = 0
	} else if len(persons) > mostEntries-20 && kind < 30 {
		kind = 60
	}
	if deletes := kind >= 60 && kind < 90; deletes && w.noDeletes {
		kind = 30
	}
	person := w.pick(persons)
	unit, movable := w.someUnit(units)
	if !movable {
		kind = 58
	}
	switch {
	case kind < 30:
		return w.add(w.uid() + "," + w.pick(units))
	case kind < 44:
		return w.move(person, w.uid(), "")
	case kind < 58:
		return w.move(person, rdnOf(person), w.pick(units))
	case kind < 60:
		return w.conn.Add(addRequest(w.unit()+","+w.pick(units), "objectClass", "organizationalUnit"))
	case kind < 78:
		return w.delete(person)
	case kind < 86:
		if err := w.delete(person); err != nil {
			return err
		}
		return w.add(person)
	case kind < 88:
		return w.delete(unit) // refused unless it is empty
	case kind < 90:
		return w.deleteSubtree(unit)
	case kind < 96:
		return w.move(unit, w.unit(), "")
	default:
		parents := slices.DeleteFunc(units, func(dn string) bool { return dn == unit || strings.HasSuffix(dn, ","+unit) })
		return w.move(unit, rdnOf(unit), w.pick(parents))
	}
}

func rdnOf(dn string) string {
	rdn, _, _ := strings.Cut(dn, ",")
	return rdn
}

func (w *writer) add(dn string) error {
	uid, _, _ := strings.Cut(strings.TrimPrefix(dn, "uid="), ",")
	pairs := []string{"objectClass", "inetOrgPerson", "uid", uid, "cn", "Person " + uid, "sn", fmt.Sprint(w.rng.IntN(5)), "userPassword", "{SSHA}" + uid}
	if w.rng.IntN(4) == 0 {
		pairs = append(pairs, "employeeType", "retired")
	}
	return w.conn.Add(addRequest(dn, pairs...))
}

func (w *writer) modify(dn string) error {
	r := ldap.NewModifyRequest(dn, nil)
	switch w.rng.IntN(4) {
	case 0:
		r.Replace("sn", []string{fmt.Sprint(w.rng.IntN(1000))})
	case 1:
		r.Replace("description", []string{fmt.Sprint(w.rng.IntN(1000))})
	case 2:
		r.Replace("sn", []string{fmt.Sprint(w.rng.IntN(1000)), "x"})
		r.Replace("mail", []string{fmt.Sprintf("%d@example.com", w.rng.IntN(1000))})
	case 3: // it enters or leaves the filter
		if w.rng.IntN(2) == 0 {
			r.Replace("employeeType", []string{"retired"})
		} else {
			r.Replace("employeeType", nil)
		}
	}
	return w.conn.Modify(r)
}

func (w *writer) move(dn, rdn, parent string) error {
	return w.conn.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, parent))
}

func (w *writer) delete(dn string) error { return w.conn.Del(ldap.NewDelRequest(dn, nil)) }

func (w *writer) deleteSubtree(dn string) error {
	found, err := w.conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"1.1"}, nil))
	if err != nil {
		return err
	}
	slices.SortFunc(found.Entries, func(a, b *ldap.Entry) int { return len(b.DN) - len(a.DN) })
	for _, e := range found.Entries {
		if err := w.delete(e.DN); err != nil {
			return err
		}
	}
	return nil
}
