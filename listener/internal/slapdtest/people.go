package slapdtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// Base returns the LDIF of [BaseDN] and [ListenerDN], what every server has that is
// not given another content.
func Base() io.Reader { return &generator{rng: rand.New(rand.NewPCG(0, 0)), next: (*generator).base} }

// People returns the LDIF of a company with n people: [Base], ou=people with an
// organizational unit per site, the people in them, ou=groups with a posixGroup per
// site and a groupOfNames per team of about 25. Parents come first.
//
// A person is an inetOrgPerson and posixAccount; as a sync search with all
// attributes returns it, it takes about 1 KB. Names have umlauts, one of the units
// has one in its DN, mail is multi-valued. Each entry has an entryUUID that is
// random, so that an index by UUID sees them in no order. The same n and seed give
// the same bytes.
func People(n int, seed int64) io.Reader {
	return &generator{rng: rand.New(rand.NewPCG(uint64(seed), 0x6c646170)), people: n, next: (*generator).base}
}

// PeopleDN is the parent of the sites in what [People] returns, GroupsDN of the
// groups.
const (
	PeopleDN = "ou=people," + BaseDN
	GroupsDN = "ou=groups," + BaseDN
)

const teamSize = 25

var (
	sites      = []string{"berlin", "hamburg", "köln", "leipzig", "stuttgart"}
	givenNames = []string{
		"Anna", "Ben", "Björn", "Clara", "Çağla", "David", "Élodie", "Emil", "Fatma", "Felix", "Greta", "Günter",
		"Hannah", "Ibrahim", "Ida", "Jakob", "Jürgen", "Karla", "Käthe", "Leon", "Łukasz", "Maja", "Mehmet", "Nils",
		"Nora", "Olga", "Ørjan", "Paul", "Paula", "Quentin", "Rosa", "Sören", "Theo", "Uwe", "Vera", "Wanda", "Yusuf", "Zoë",
	}
	surnames = []string{
		"Arslan", "Bäcker", "Becker", "Börner", "Busch", "Dörr", "Ebert", "Fischer", "Fröhlich", "Groß", "Günther", "Haas",
		"Hübner", "Jäger", "Jung", "Kaya", "Köhler", "Krüger", "Lange", "Löwe", "Meißner", "Müller", "Nowak", "Öztürk",
		"Peters", "Prüfer", "Richter", "Sánchez", "Schäfer", "Schmidt", "Schröder", "Süß", "Thiel", "Ünal", "Vogel", "Weiß",
		"Winkler", "Yılmaz", "Zöller",
	}
	titles = []string{"Accountant", "Administrator", "Buyer", "Designer", "Developer", "Driver", "Editor", "Engineer", "Lawyer", "Nurse", "Operator", "Planner", "Teacher", "Technician"}
	words  = []string{
		"archive", "bridge", "budget", "canteen", "contract", "data", "delivery", "design", "door", "energy", "field",
		"garden", "harbour", "hiring", "kitchen", "laboratory", "law", "library", "licence", "logistics", "measuring",
		"network", "night shift", "office", "payroll", "phone", "plan", "press", "printing", "project", "quality", "repair",
		"safety", "school", "server", "storage", "street", "supply", "survey", "test", "tram", "training", "travel", "water",
	}
	ascii = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "á", "a", "ë", "e", "ø", "o",
		"ł", "l", "ı", "i", "ç", "c", "ğ", "g")
)

// generator writes one piece of the tree when its reader has used up the last.
type generator struct {
	rng    *rand.Rand
	people int
	next   func(*generator) // writes the next piece and names the one after; nil at the end
	buf    bytes.Buffer
	number int        // of the current person or group
	teams  [][]string // DNs by team
	counts map[string]int
}

func (g *generator) Read(p []byte) (int, error) {
	for g.buf.Len() == 0 {
		if g.next == nil {
			return 0, io.EOF
		}
		g.next(g)
	}
	return g.buf.Read(p)
}

func (g *generator) base() {
	g.entry(BaseDN, "objectClass", "dcObject", "objectClass", "organization", "dc", "example", "o", "Example")
	g.entry(ListenerDN, "objectClass", "organizationalRole", "objectClass", "simpleSecurityObject",
		"cn", "listener", "userPassword", ListenerPassword)
	g.next = nil
	if g.people > 0 {
		g.next = (*generator).units
	}
}

func (g *generator) units() {
	unit := func(dn, name string) { g.entry(dn, "objectClass", "organizationalUnit", "ou", name) }
	unit(PeopleDN, "people")
	for _, site := range sites {
		unit(siteDN(site), site)
	}
	unit(GroupsDN, "groups")
	for i, site := range sites {
		g.entry("cn="+site+","+GroupsDN, "objectClass", "posixGroup", "cn", site, "gidNumber", fmt.Sprint(5000+i))
	}
	g.counts = make(map[string]int)
	g.teams = make([][]string, (g.people+teamSize-1)/teamSize)
	g.next = (*generator).person
}

func (g *generator) person() {
	given, sur := pick(g.rng, givenNames), pick(g.rng, surnames)
	site := g.rng.IntN(len(sites))
	uid := ascii.Replace(strings.ToLower(given + "." + sur))
	if g.counts[uid]++; g.counts[uid] > 1 {
		uid += fmt.Sprint(g.counts[uid])
	}
	dn := "uid=" + uid + "," + siteDN(sites[site])
	cn := given + " " + sur
	attrs := []string{
		"objectClass", "inetOrgPerson", "objectClass", "posixAccount", "uid", uid,
		"cn", cn, "sn", sur, "givenName", given, "displayName", cn,
		"mail", uid + "@example.com", "mail", uid + "@" + ascii.Replace(sites[site]) + ".example.com",
		"uidNumber", fmt.Sprint(10000 + g.number), "gidNumber", fmt.Sprint(5000 + site),
		"homeDirectory", "/home/" + uid, "loginShell", "/bin/bash",
		"employeeNumber", fmt.Sprintf("%07d", g.number), "title", pick(g.rng, titles), "l", sites[site],
		"telephoneNumber", fmt.Sprintf("+49 30 555%05d", g.rng.IntN(100000)),
		"userPassword", g.password(), "description", g.text(140),
	}
	if g.rng.IntN(3) == 0 {
		attrs = append(attrs, "mobile", fmt.Sprintf("+49 170 555%05d", g.rng.IntN(100000)))
	}
	g.entry(dn, attrs...)
	team := g.rng.IntN(len(g.teams))
	g.teams[team] = append(g.teams[team], dn)
	if g.number++; g.number == g.people {
		g.number, g.next = 0, (*generator).team
	}
}

func (g *generator) team() {
	if members := g.teams[g.number]; len(members) > 0 {
		name := fmt.Sprintf("team-%d", g.number)
		attrs := []string{"objectClass", "groupOfNames", "cn", name, "description", g.text(60)}
		for _, dn := range members {
			attrs = append(attrs, "member", dn)
		}
		g.entry("cn="+name+","+GroupsDN, attrs...)
	}
	if g.number++; g.number == len(g.teams) {
		g.next = nil
	}
}

func siteDN(site string) string { return "ou=" + site + "," + PeopleDN }

func (g *generator) password() string {
	hash := make([]byte, 0, 28) // SHA-1 and salt
	for len(hash) < cap(hash) {
		hash = append(hash, byte(g.rng.Uint32()))
	}
	return "{SSHA}" + base64.StdEncoding.EncodeToString(hash)
}

func (g *generator) text(least int) string {
	var b strings.Builder
	for b.Len() < least {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pick(g.rng, words))
	}
	return b.String()
}

// entry writes one LDIF record with a random (version 4) entryUUID.
func (g *generator) entry(dn string, attrs ...string) {
	g.line("dn", dn)
	for i := 0; i < len(attrs); i += 2 {
		g.line(attrs[i], attrs[i+1])
	}
	hi, lo := g.rng.Uint64()&^0xf000|0x4000, g.rng.Uint64()&^(3<<62)|2<<62
	fmt.Fprintf(&g.buf, "entryUUID: %08x-%04x-%04x-%04x-%012x\n\n", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
}

func (g *generator) line(name, value string) {
	g.buf.WriteString(name)
	if strings.ContainsFunc(value, func(r rune) bool { return r >= utf8.RuneSelf }) {
		g.buf.WriteString(":: ")
		g.buf.WriteString(base64.StdEncoding.EncodeToString([]byte(value)))
	} else {
		g.buf.WriteString(": ")
		g.buf.WriteString(value)
	}
	g.buf.WriteByte('\n')
}

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }
