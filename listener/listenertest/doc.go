// Package listenertest is a test kit for the authors of handler modules: it makes
// entries from LDIF and calls a handler the way the daemon does.
//
//	func TestGreeter(t *testing.T) {
//		h := listenertest.Open(t, Module)
//		ada := listenertest.Entry(t, `
//			dn: uid=ada,dc=example,dc=com
//			objectClass: inetOrgPerson
//			sn: Lovelace`)
//		if err := h.Create(t.Context(), ada); err != nil {
//			t.Fatal(err)
//		}
//		err := h.Modify(t.Context(), listenertest.Set(ada, "sn", "King"))
//		...
//	}
//
// A [Harness] keeps the contract of package listener: it hands over as old what the
// handler was told last, makes the steps that are owed first, numbers the calls,
// turns panics into errors, and reports to the test what the daemon would never
// do. It has no directory, no queue and no clock: a failed call is repeated when
// the test repeats it.
package listenertest
