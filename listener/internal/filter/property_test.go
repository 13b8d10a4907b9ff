package filter_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
)

// drawFilter draws a filter: its canonical text, and the same with white space and
// escapes that the canonical text does without.
func drawFilter(t *rapid.T, depth int) (canonical, loose string) {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	before, after := space.Draw(t, "space"), space.Draw(t, "space")
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 {
		kind = max(kind, 3)
	}
	switch kind {
	case 0, 1:
		operator := []string{"&", "|"}[kind]
		canonical, loose = "("+operator, "("+before+operator
		for range rapid.IntRange(0, 3).Draw(t, "filters") {
			c, l := drawFilter(t, depth-1)
			canonical += c
			loose += after + l
		}
		return canonical + ")", loose + before + ")"
	case 2:
		c, l := drawFilter(t, depth-1)
		return "(!" + c + ")", "(" + before + "!" + after + l + before + ")"
	}

	attr := rapid.SampledFrom([]string{"cn", "SN", "cn;lang-de", "1.2.3", "n"}).Draw(t, "attr")
	switch kind {
	case 3:
		attr += ">="
	case 4:
		attr += "<="
	case 5:
		attr += "~="
	case 6:
		attr += rapid.SampledFrom([]string{":", ":dn:", ":caseExactMatch:", ":dn:2.5.13.14:", ":integerBitOrMatch:", ":no:"}).Draw(t, "rule") + "="
	default:
		parts := rapid.IntRange(1, 4).Draw(t, "parts")
		canonical, loose = "("+attr+"=", "("+before+attr+"="
		for i := range parts {
			c, l := drawValue(t)
			if c == "" && 0 < i && i < parts-1 {
				c, l = "x", "x"
			}
			if i > 0 {
				c, l = "*"+c, "*"+l
			}
			canonical += c
			loose += l
		}
		return canonical + ")", loose + ")"
	}
	c, l := drawValue(t)
	return "(" + attr + c + ")", "(" + before + attr + l + ")"
}

// drawValue draws an assertion value in canonical and in some other encoding.
func drawValue(t *rapid.T) (canonical, loose string) {
	for range rapid.IntRange(0, 4).Draw(t, "length") {
		c := rapid.SampledFrom([]string{"a", "B", " ", "-", "5", "ß", "=", "*", "(", ")", `\`, "\x00", "\xff", "\t"}).Draw(t, "character")
		escaped := ""
		for _, octet := range []byte(c) {
			escaped += fmt.Sprintf(`\%02x`, octet)
		}
		upper := strings.ToUpper(escaped)
		switch {
		case strings.Contains("*()\\\x00\xff\t", c):
			canonical += escaped
			loose += upper
		case rapid.Bool().Draw(t, "escape"):
			canonical += c
			loose += upper
		default:
			canonical += c
			loose += c
		}
	}
	return canonical, loose
}

func drawEntry(t *rapid.T) *listener.Entry {
	value := rapid.StringOfN(rapid.SampledFrom([]rune("aAbB -5ß=*\x00")), 0, 5, -1)
	var attrs []listener.Attribute
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"cn", "sn", "CN;lang-de", "n", "1.2.3"}), 0, 4).Draw(t, "attributes") {
		attrs = append(attrs, listener.Attribute{Name: name, Values: rapid.SliceOfN(value, 1, 3).Draw(t, "values")})
	}
	return listener.NewEntry(listener.UUID{}, "cn=a,cn=5", attrs...)
}

func TestCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		canonical, loose := drawFilter(t, 4)
		f, err := filter.Compile(loose, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.String(); got != canonical {
			t.Fatalf("%q becomes %q, want %q", loose, got, canonical)
		}
		again, err := filter.Compile(canonical, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.String(); got != canonical {
			t.Fatalf("%q becomes %q", canonical, got)
		}
		e := drawEntry(t)
		if a, b := f.Match(e), again.Match(e); a != b {
			t.Fatalf("%q is %v, %q is %v", loose, a, canonical, b)
		}
	})
}

// TestAlgebra checks the laws that connect and, or and not.
func TestAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, _ := drawFilter(t, 2)
		b, _ := drawFilter(t, 2)
		e := drawEntry(t)
		match := func(s string) filter.Result {
			f, err := filter.Compile(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			return f.Match(e)
		}
		for _, law := range [][2]string{
			{"(!(!" + a + "))", a},
			{"(&" + a + b + ")", "(&" + b + a + ")"},
			{"(|" + a + b + ")", "(|" + b + a + ")"},
			{"(!(&" + a + b + "))", "(|(!" + a + ")(!" + b + "))"},
			{"(!(|" + a + b + "))", "(&(!" + a + ")(!" + b + "))"},
			{"(&" + a + "(&))", a},
			{"(|" + a + "(|))", a},
			{"(&" + a + "(|" + a + b + "))", a},
		} {
			if x, y := match(law[0]), match(law[1]); x != y {
				t.Fatalf("%s is %v, %s is %v", law[0], x, law[1], y)
			}
		}
	})
}

// squeeze is what values are compared as, made the simple way, for ASCII.
func squeeze(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// squeezePart is squeeze that keeps a space on the sides that adjoin an asterisk.
func squeezePart(s string, before, after bool) string {
	out := squeeze(s)
	if out == "" && s != "" {
		return " "
	}
	if before && strings.HasPrefix(s, " ") {
		out = " " + out
	}
	if after && strings.HasSuffix(s, " ") {
		out += " "
	}
	return out
}

func single(value string) *listener.Entry {
	return listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "cn", Values: []string{value}})
}

func TestSubstringsAgreeWithSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("aAb ")), 0, 4, -1)
		value := rapid.StringOfN(rapid.SampledFrom([]rune("aAb ")), 0, 20, -1).Draw(t, "value")
		parts := rapid.SliceOfN(text, 2, 5).Draw(t, "parts")

		rest, want, last := squeeze(value), true, len(parts)-1
		rest, want = strings.CutPrefix(rest, squeezePart(parts[0], false, true))
		for _, part := range parts[1:last] {
			if part != "" && want {
				_, rest, want = strings.Cut(rest, squeezePart(part, true, true))
			}
		}
		want = want && strings.HasSuffix(rest, squeezePart(parts[last], true, false))

		f, err := filter.Compile("(cn="+strings.Join(parts, "*")+")", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(single(value)) == filter.True; got != want {
			t.Fatalf("%s on %q: %v, want %v", f, value, got, want)
		}
	})
}

func TestStringsAgreeWithComparison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("aAb -\t!")), 0, 6, -1)
		a, v := text.Draw(t, "asserted"), text.Draw(t, "value")
		order := strings.Compare(squeeze(v), squeeze(a))
		dense := strings.NewReplacer(" ", "", "-", "")
		for s, want := range map[string]bool{
			"(cn=" + a + ")":  order == 0,
			"(cn>=" + a + ")": order >= 0,
			"(cn<=" + a + ")": order <= 0,
			"(cn~=" + a + ")": dense.Replace(squeeze(v)) == dense.Replace(squeeze(a)),
		} {
			f, err := filter.Compile(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(single(v)) == filter.True; got != want {
				t.Fatalf("%s on %q: %v, want %v", f, v, got, want)
			}
		}
	})
}

func TestIntegersAgreeWithBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`-?0{0,2}[0-9]{1,25}`)
		a, v := number.Draw(t, "asserted"), number.Draw(t, "value")
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(v, 10)
		and, or := filter.Undefined, filter.Undefined
		if x.IsInt64() && y.IsInt64() {
			and, or = filter.False, filter.False
			if y.Int64()&x.Int64() == x.Int64() {
				and = filter.True
			}
			if y.Int64()&x.Int64() != 0 {
				or = filter.True
			}
		}
		truth := map[bool]filter.Result{true: filter.True}
		for s, want := range map[string]filter.Result{
			"(cn>=" + a + ")":                        truth[y.Cmp(x) >= 0],
			"(cn<=" + a + ")":                        truth[y.Cmp(x) <= 0],
			"(cn:integerMatch:=" + a + ")":           truth[y.Cmp(x) == 0],
			"(cn:integerBitAndMatch:=" + a + ")":     and,
			"(cn:1.2.840.113556.1.4.804:=" + a + ")": or,
		} {
			f, err := filter.Compile(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(single(v)); got != want {
				t.Fatalf("%s on %s: %v, want %v", f, v, got, want)
			}
		}
	})
}
