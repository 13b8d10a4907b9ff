package listener

import "strings"

// AttributeChange is what [Diff] found for one attribute. Values keep the order of
// the entry they come from.
type AttributeChange struct {
	// Name is the attribute's description as the new entry spells it, as the old
	// one does if the new one lacks it.
	Name string
	// Added and Removed hold the values only in new and only in old.
	Added, Removed []string

	names *AttributeNames
}

// Changes is the result of [Diff].
type Changes []AttributeChange

// Names returns the names of the changed attributes.
func (c Changes) Names() []string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].Name
	}
	return names
}

// Get returns the change of the attribute, by any of its names, and whether there is one.
func (c Changes) Get(name string) (AttributeChange, bool) {
	for i := range c {
		if strings.EqualFold(c[i].Name, name) || c[i].names.same(c[i].Name, name) {
			return c[i], true
		}
	}
	return AttributeChange{}, false
}

// Diff returns what differs between two states of an entry, attribute by
// attribute: first in the order of new, then what only old has. Values are
// compared as sets of byte strings, so a reordering is no change and a change of
// case is one. With attrs only these are compared, each by any of the names that the
// entries know for it; without, all but operational ones (modifyTimestamp, entryCSN...),
// which are compared only when named. old or
// new may be nil, for an entry that is absent. The DN is not compared. The cost
// grows linearly with the number of values.
func Diff(old, new *Entry, attrs ...string) Changes {
	var out Changes
	names := namesOf(old, new)
	compare(old, new, attrs, func(name string, o, n Values) bool {
		added, removed := setDiff(o, n)
		if len(added)+len(removed) > 0 {
			out = append(out, AttributeChange{name, added, removed, names})
		}
		return true
	})
	return out
}

// Changed tells whether [Diff] with the same arguments would find something. It
// stops at the first difference.
func Changed(old, new *Entry, attrs ...string) bool {
	changed := false
	compare(old, new, attrs, func(_ string, o, n Values) bool {
		changed = !sameSet(o, n)
		return !changed
	})
	return changed
}

// compare calls visit with the pairs of attributes whose encodings differ.
func compare(old, new *Entry, attrs []string, visit func(name string, old, new Values) bool) {
	names := namesOf(old, new)
	if old == nil {
		old = &Entry{names: names}
	}
	if new == nil {
		new = &Entry{names: names}
	}
	if len(attrs) > 0 {
		for i, name := range attrs {
			o, n := old.find(name), new.find(name)
			if o.values.ber == n.values.ber || namedBefore(names, attrs, i) {
				continue
			}
			spelled := n.name
			if spelled == "" {
				spelled = o.name
			}
			if !visit(spelled, o.values, n.values) {
				return
			}
		}
		return
	}
	for i := range new.attrs {
		a := &new.attrs[i]
		var o Values
		if i < len(old.attrs) && old.attrs[i].name == a.name { // the usual case: same order
			o = old.attrs[i].values
		} else {
			o = old.Attr(a.name)
		}
		if o.ber != a.values.ber && !names.Operational(a.name) && !visit(a.name, o, a.values) {
			return
		}
	}
	for i := range old.attrs {
		a := &old.attrs[i]
		if i < len(new.attrs) && new.attrs[i].name == a.name {
			continue
		}
		if new.find(a.name) == &noAttribute && !names.Operational(a.name) && !visit(a.name, a.values, Values{}) {
			return
		}
	}
}

// namesOf returns what the entries, either of which may be nil, know of names.
func namesOf(old, new *Entry) *AttributeNames {
	if new != nil && new.names != nil || old == nil {
		if new == nil {
			return nil
		}
		return new.names
	}
	return old.names
}

func namedBefore(names *AttributeNames, attrs []string, i int) bool {
	for _, earlier := range attrs[:i] {
		if names.same(earlier, attrs[i]) {
			return true
		}
	}
	return false
}

// fewValues is up to where a nested loop beats building a map.
const fewValues = 8

func sameSet(a, b Values) bool {
	if a.ber == b.ber {
		return true
	}
	added, removed := setDiff(a, b)
	return len(added)+len(removed) == 0
}

func setDiff(old, new Values) (added, removed []string) {
	if old.n <= fewValues && new.n <= fewValues {
		for v := range new.All() {
			if !old.Contains(v) {
				added = append(added, v)
			}
		}
		for v := range old.All() {
			if !new.Contains(v) {
				removed = append(removed, v)
			}
		}
		return added, removed
	}
	in := make(map[string]bool, old.n) // value: whether new has it too
	for v := range old.All() {
		in[v] = false
	}
	for v := range new.All() {
		if _, ok := in[v]; ok {
			in[v] = true
		} else {
			added = append(added, v)
		}
	}
	for v := range old.All() {
		if !in[v] {
			removed = append(removed, v)
		}
	}
	return added, removed
}

// Operational tells whether the attribute is maintained by the directory server
// rather than by its users: those of RFC 4512 (section 3.4), RFC 4530, RFC 3672 and
// RFC 5020, and what OpenLDAP and 389 DS add. Options are ignored. An entry from a
// provider goes by the provider's schema: [AttributeNames.Operational].
func Operational(name string) bool {
	name, _, _ = strings.Cut(name, ";")
	var buf [48]byte
	if len(name) > len(buf) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return operational[string(buf[:len(name)])]
}

var operational = map[string]bool{
	// RFC 4512
	"createtimestamp": true, "creatorsname": true, "modifytimestamp": true,
	"modifiersname": true, "structuralobjectclass": true, "governingstructurerule": true,
	"subschemasubentry": true,
	// RFC 4530, RFC 5020, RFC 3672, RFC 3045
	"entryuuid": true, "entrydn": true, "administrativerole": true, "subtreespecification": true,
	"collectiveattributesubentries": true, "collectiveexclusions": true,
	// OpenLDAP
	"entrycsn": true, "contextcsn": true, "hassubordinates": true, "pwdchangedtime": true,
	"pwdaccountlockedtime": true, "pwdfailuretime": true, "pwdhistory": true, "pwdgraceusetime": true,
	"pwdreset": true, "pwdpolicysubentry": true, "pwdlastsuccess": true, "authtimestamp": true,
	"pwdaccounttmplockoutend": true, "entryttl": true, "entryexpiretimestamp": true,
	// 389 DS
	"nsuniqueid": true, "parentid": true, "entryid": true, "numsubordinates": true,
	"nscpentrydn": true, "nsds5replconflict": true, "entryusn": true, "dsentrydn": true,
	"tombstonenumsubordinates": true, "passwordexpirationtime": true, "passwordretrycount": true,
	"retrycountresettime": true, "accountunlocktime": true, "passwordallowchangetime": true,
	"passwordhistory": true, "lastlogintime": true, "nsrole": true, "nsroledn": true,
}
