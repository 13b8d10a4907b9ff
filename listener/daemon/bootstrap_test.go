package daemon_test

import "testing"

func TestBootstrapNone(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("first", "cleaner", "bootstrap: none"))
	s.mustOnce()
	expectKinds(t, "the first fill", s.journal("first"))
	d.person("zoe", "ou=people,"+base)
	s.configure(server, instance("first", "cleaner", "bootstrap: none"), instance("second", "probe", "bootstrap: none"))
	s.mustOnce()
	expectKinds(t, "what is new", s.journal("first"), "initialize", "pre_run", "create uid=zoe", "post_run")
	r := s.start()
	r.idle("second")
	d.modify(bob, []string{"sn", "Changed"})
	d.delete("uid=eve,ou=people," + base)
	r.caughtUp(d)
	before := len(s.journal("first"))
	s.printed("resync", "first")
	r.until("it is cleaned", func() bool { return len(s.since("first", before)) > 1 })
	r.idle("first")
	r.stop()
	expectKinds(t, "a resync", s.since("first", before), "post_run", "clean", "initialize", "pre_run",
		"create uid=ada", "create uid=bob", "create uid=zoe", "post_run")
	// What the mirror had when the module was new is known; zoe came after that.
	expectKinds(t, "a module that was added", s.journal("second"), "pre_run", "create uid=zoe", "post_run", "pre_run", "modify uid=bob", "remove uid=eve", "post_run")
}
