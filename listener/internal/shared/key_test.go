package shared

import (
	"strings"
	"testing"
)

// FuzzKeys checks that any two triples of names have keys that memcached takes, and
// different ones unless they are the same.
func FuzzKeys(f *testing.F) {
	long := strings.Repeat("k", 250)
	for _, s := range [][6]string{
		{"d", "m", "k", "d", "m", "k"},
		{"d", "m", "", "d", "m", "#47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
		{"", "", "a b", "", "", "a\nb"},
		{"a:b", "c", "d", "a", "b:c", "d"},
		{"a", "b", "v:c", "a", "b:v", "c"},
		{"d", "m", long, "d", "m", long + "k"},
		{long, "m", "k", "d", long, "\xff"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5])
	}
	kinds := []string{kindVariable, kindLock, kindFence}
	f.Fuzz(func(t *testing.T, d1, m1, k1, d2, m2, k2 string) {
		same := d1 == d2 && m1 == m2 && k1 == k2
		for i, kind1 := range kinds {
			one := serverKey(prefix(d1, m1), kind1, k1)
			checkKey(t, one)
			for j, kind2 := range kinds {
				two := serverKey(prefix(d2, m2), kind2, k2)
				if (one == two) != (same && i == j) {
					t.Errorf("%q %q %q %s has %q, %q %q %q %s has %q", d1, m1, k1, kind1, one, d2, m2, k2, kind2, two)
				}
			}
		}
	})
}

func checkKey(t *testing.T, key string) {
	t.Helper()
	if key == "" || len(key) > 250 {
		t.Errorf("key of %d bytes", len(key))
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f {
			t.Errorf("byte %d of key %q", i, key)
		}
	}
}

func TestKeysStayReadable(t *testing.T) {
	const want = "listenerd:ldap1.example.com:people-uid:v:next/uid?"
	if got := serverKey(prefix("ldap1.example.com", "people-uid"), kindVariable, "next/uid?"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
