package main

import (
	"errors"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// step changes the directory; do returns the calls that must follow.
type step struct {
	title  string
	change []string // what was done, for people
	do     func() ([]call, error)
}

// story is what happens in the demo, in order. Each step builds on those before.
func story(dir *directory, d *daemon) []step {
	const (
		berlin  = "ou=berlin," + slapdtest.PeopleDN
		hamburg = "ou=hamburg," + slapdtest.PeopleDN
		leipzig = "ou=leipzig," + slapdtest.PeopleDN
		anna    = "uid=anna," + berlin
		schmidt = "uid=anna.schmidt," + berlin
		moved   = "uid=anna.schmidt," + hamburg
		interns = "ou=interns," + berlin
		movedOU = "ou=interns," + leipzig
		kim     = "uid=kim,"
		noa     = "uid=noa,"
		sam     = "uid=sam,"
		group   = "cn=berlin," + slapdtest.GroupsDN
	)
	return []step{
		{
			"A person is added", []string{"add " + short(anna)},
			func() ([]call, error) {
				return both(listener.KindCreate, anna, ""), dir.addPerson(anna, "anna", "Anna", "Weiß")
			},
		},
		{
			"One value is changed", []string{"replace sn"},
			func() ([]call, error) {
				return both(listener.KindModify, anna, ""), dir.modify(anna, func(r *ldap.ModifyRequest) {
					r.Replace("sn", []string{"Schmidt"})
				})
			},
		},
		{
			"Several values are changed at once: one call", []string{"add two values of mail, delete one, replace cn"},
			func() ([]call, error) {
				return both(listener.KindModify, anna, ""), dir.modify(anna, func(r *ldap.ModifyRequest) {
					r.Add("mail", []string{"anna.schmidt@example.com", "schmidt@berlin.example.com"})
					r.Delete("mail", []string{"anna@example.com"})
					r.Replace("cn", []string{"Anna Schmidt"})
				})
			},
		},
		{
			"An attribute that people-journal does not list", []string{"add title: only the other module is called"},
			func() ([]call, error) {
				return []call{{groupsAndPeople, listener.KindModify, anna, ""}}, dir.modify(anna, func(r *ldap.ModifyRequest) {
					r.Add("title", []string{"Captain"})
				})
			},
		},
		{
			"A rename", []string{"modrdn " + short(anna), "    to uid=anna.schmidt"},
			func() ([]call, error) {
				return both(listener.KindModify, schmidt, anna), dir.move(anna, "uid=anna.schmidt", "")
			},
		},
		{
			"A move to another unit", []string{"modrdn " + short(schmidt), "    to " + short(hamburg)},
			func() ([]call, error) {
				return both(listener.KindModify, moved, schmidt), dir.move(schmidt, "uid=anna.schmidt", hamburg)
			},
		},
		{
			"A unit with three people", []string{"add " + short(interns) + " and uid=kim, uid=noa, uid=sam in it"},
			func() ([]call, error) {
				expected := append(both(listener.KindCreate, kim+interns, ""), both(listener.KindCreate, noa+interns, "")...)
				return append(expected, both(listener.KindCreate, sam+interns, "")...), errors.Join(
					dir.addUnit(interns, "interns"),
					dir.addPerson(kim+interns, "kim", "Kim", "Öztürk"),
					dir.addPerson(noa+interns, "noa", "Noa", "Löwe"),
					dir.addPerson(sam+interns, "sam", "Sam", "Nowak"),
				)
			},
		},
		{
			"The unit moves: OpenLDAP reports the unit only, the modules hear of everyone in it",
			[]string{"modrdn " + short(interns), "    to " + short(leipzig)},
			func() ([]call, error) {
				expected := append(both(listener.KindModify, kim+movedOU, kim+interns), both(listener.KindModify, noa+movedOU, noa+interns)...)
				return append(expected, both(listener.KindModify, sam+movedOU, sam+interns)...), dir.move(interns, "ou=interns", leipzig)
			},
		},
		{
			"A group gets a member", []string{"add memberUid to " + short(group)},
			func() ([]call, error) {
				return []call{{groupsAndPeople, listener.KindModify, group, ""}}, dir.modify(group, func(r *ldap.ModifyRequest) {
					r.Add("memberUid", []string{"anna.schmidt", "kim"})
				})
			},
		},
		{
			"A delete", []string{"delete " + short(sam+movedOU)},
			func() ([]call, error) {
				return both(listener.KindRemove, sam+movedOU, ""), dir.remove(sam + movedOU)
			},
		},
		{
			"Deleted and added again under the same name: another entry, in this order",
			[]string{"delete " + short(noa+movedOU), "add it, with another surname"},
			func() ([]call, error) {
				expected := append(both(listener.KindRemove, noa+movedOU, ""), both(listener.KindCreate, noa+movedOU, "")...)
				return expected, errors.Join(
					dir.remove(noa+movedOU),
					dir.addPerson(noa+movedOU, "noa", "Noa", "Vogel"),
				)
			},
		},
		{
			"Changes while listenerd is stopped: after its start only these are delivered",
			[]string{"stop listenerd", "replace givenName of " + short(kim+movedOU), "delete " + short(moved), "start listenerd"},
			func() ([]call, error) {
				if err := d.stop(); err != nil {
					return nil, err
				}
				expected := append(both(listener.KindModify, kim+movedOU, ""), both(listener.KindRemove, moved, "")...)
				return expected, errors.Join(
					dir.modify(kim+movedOU, func(r *ldap.ModifyRequest) { r.Replace("givenName", []string{"Kimberly"}) }),
					dir.remove(moved),
					d.start(),
				)
			},
		},
	}
}

// both returns the same call of both modules.
func both(kind listener.Kind, dn, oldDN string) []call {
	return []call{{peopleJournal, kind, dn, oldDN}, {groupsAndPeople, kind, dn, oldDN}}
}
