package syncrepl

import (
	"bytes"
	"strings"
	"testing"
)

const (
	csnA1 = "20240101000000.000000Z#000000#000#000000"
	csnA2 = "20240101000000.000001Z#000000#000#000000"
	csnB1 = "20240101000000.000000Z#00000a#001#000000"
	csnB2 = "20240101000000.000000Z#00000b#001#000000"
	csnC1 = "20230101000000.000000Z#000000#0ff#000000"
)

func TestMergeCookies(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"first", "", "rid=001,csn=" + csnA1, "rid=001,csn=" + csnA1},
		{"without sid", "", "rid=001,sid=002,csn=" + csnA1, "rid=001,csn=" + csnA1},
		{"without delcsn", "", "rid=001,csn=" + csnA1 + ",delcsn=" + csnA2, "rid=001,csn=" + csnA1},
		{"newer", "rid=001,csn=" + csnA1, "rid=001,csn=" + csnA2, "rid=001,csn=" + csnA2},
		{"older", "rid=001,csn=" + csnA2, "rid=001,csn=" + csnA1, "rid=001,csn=" + csnA2},
		{"by count", "rid=001,csn=" + csnB2, "rid=001,csn=" + csnB1, "rid=001,csn=" + csnB2},
		{"one of two", "rid=001,csn=" + csnA1 + ";" + csnB1, "rid=001,sid=001,csn=" + csnB2, "rid=001,csn=" + csnA1 + ";" + csnB2},
		{"sorted by sid", "", "rid=001,csn=" + csnC1 + ";" + csnB1 + ";" + csnA1, "rid=001,csn=" + csnA1 + ";" + csnB1 + ";" + csnC1},
		{"a sid twice", "", "rid=001,csn=" + csnA2 + ";" + csnA1, "rid=001,csn=" + csnA2},
		{"new rid", "rid=001,csn=" + csnA1, "rid=002,csn=" + csnA1, "rid=002,csn=" + csnA1},
		{"without rid", "", "csn=" + csnA1, "rid=000,csn=" + csnA1},
		{"absent", "rid=001,csn=" + csnA1, "", "rid=001,csn=" + csnA1},
		{"without csn", "rid=001,csn=" + csnA1, "rid=001,sid=002", "rid=001,csn=" + csnA1},
		{"never a csn", "", "rid=001", ""},
		{"empty csn", "", "rid=001,csn=", ""},
		{"opaque", "rid=001,csn=" + csnA1, "h:389#x#5", "h:389#x#5"},
		{"opaque before", "h:389#x#5", "rid=001,csn=" + csnA1, "rid=001,csn=" + csnA1},
		{"unknown part", "", "rid=001,new=1,csn=" + csnA1, "rid=001,new=1,csn=" + csnA1},
		{"short csn", "", "rid=001,csn=" + csnA1[1:], "rid=001,csn=" + csnA1[1:]},
		{"csn of other form", "", "rid=001,csn=" + strings.ToUpper(csnB1), "rid=001,csn=" + strings.ToUpper(csnB1)},
		{"second csn bad", "", "rid=001,csn=" + csnA1 + ";", "rid=001,csn=" + csnA1 + ";"},
		{"bad delcsn", "", "rid=001,csn=" + csnA1 + ",delcsn=x", "rid=001,csn=" + csnA1 + ",delcsn=x"},
		{"long rid", "", "rid=0001,csn=" + csnA1, "rid=0001,csn=" + csnA1},
	} {
		if got := mergeCookies([]byte(c.old), []byte(c.new)); string(got) != c.want {
			t.Errorf("%s: %q and %q make %q, want %q", c.name, c.old, c.new, got, c.want)
		}
	}
}

// FuzzMergeCookies checks what holds for cookies of any form.
func FuzzMergeCookies(f *testing.F) {
	f.Add("", "rid=001,sid=001,csn="+csnA1+";"+csnB1+",delcsn="+csnA2)
	f.Add("rid=001,csn="+csnA2, "rid=001,csn="+csnB1)
	f.Add("h:389#x#5", "rid=001")
	f.Add("rid=001,csn=", "csn=;")
	f.Fuzz(func(t *testing.T, a, b string) {
		old := mergeCookies(nil, []byte(a))
		merged := mergeCookies(old, []byte(b))
		if again := mergeCookies(merged, merged); !bytes.Equal(again, merged) {
			t.Errorf("%q becomes %q", merged, again)
		}
		p, ok := parseOpenLDAPCookie(merged)
		if !ok {
			if len(merged) > 0 && string(merged) != a && string(merged) != b {
				t.Errorf("the opaque cookie %q comes from %q and %q", merged, a, b)
			}
			return
		}
		if bytes.Contains(merged, []byte("sid=")) || bytes.Contains(merged, []byte("delcsn")) {
			t.Errorf("%q", merged)
		}
		// Nothing is lost: each CSN is as new as it was.
		for _, cookie := range [][]byte{old, []byte(b)} {
			c, ok := parseOpenLDAPCookie(cookie)
			if _, was := parseOpenLDAPCookie(old); !ok || !was {
				continue
			}
			for _, csn := range c.csns {
				found := false
				for _, have := range p.csns {
					found = found || sid(have) == sid(csn) && have >= csn
				}
				if !found {
					t.Errorf("%q and %q lose %s: %q", old, b, csn, merged)
				}
			}
		}
	})
}
