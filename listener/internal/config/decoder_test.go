package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
)

// everything is a module configuration with a field of every kind.
type everything struct {
	Text     string            `yaml:"text"`
	Flag     bool              `yaml:"flag"`
	Small    int8              `yaml:"small"`
	Port     uint16            `yaml:"port"`
	Large    uint64            `yaml:"large"`
	Ratio    float64           `yaml:"ratio"`
	Wait     time.Duration     `yaml:"wait"`
	Since    time.Time         `yaml:"since"`
	Address  netip.Addr        `yaml:"address"`
	List     []string          `yaml:"list"`
	Pair     [2]int            `yaml:"pair"`
	Headers  map[string]string `yaml:"headers"`
	Limits   map[int]limit     `yaml:"limits"`
	Limit    limit             `yaml:"limit"`
	Optional *limit            `yaml:"optional"`
	Count    *int              `yaml:"count"`
	Children []everything      `yaml:"children"`
	Any      any               `yaml:"any"`
	Raw      yaml.Node         `yaml:"raw"`
	Size     size              `yaml:"size"`
	Strict   strict            `yaml:"strict"`
	Old      old               `yaml:"old"`
	Untagged string
	Ignored  string    `yaml:"-"`
	Error    error     `yaml:"error"`
	Done     chan bool `yaml:"done,omitempty"`
	Common   `yaml:",inline"`
	*Pointed `yaml:",inline"`
}

type limit struct {
	Low  int `yaml:"low"`
	High int `yaml:"high"`
}

type Common struct {
	Shared string `yaml:"shared"`
}

type Pointed struct {
	Through string `yaml:"through"`
}

// size is written 3k.
type size int

func (s *size) UnmarshalText(text []byte) error {
	n, found := strings.CutSuffix(string(text), "k")
	if _, err := fmt.Sscanf(n, "%d", (*int)(s)); err != nil || !found {
		return fmt.Errorf("%q is no size; write 3k", text)
	}
	*s *= 1024
	return nil
}

// strict leaves its decoding to yaml.v3.
type strict struct{ values map[string]time.Duration }

func (s *strict) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return errors.New("strict wants more than one value")
	}
	return n.Decode(&s.values)
}

// old has the method of yaml.v2.
type old struct{ number int }

func (o *old) UnmarshalYAML(decode func(any) error) error { return decode(&o.number) }

// loose takes keys that it doesn't name.
type loose struct {
	Name string         `yaml:"name"`
	Rest map[string]int `yaml:",inline"`
}

// decodeInto loads a file whose module has text, from line 4, as its config.
func decodeInto[C any](t *testing.T, defaults C, text string) (got C, problems string) {
	t.Helper()
	var configs []C
	module := listener.Define(listener.Spec{Name: "m", LDAPFilter: "(uid=*)"}, tap[C]{C: defaults, seen: &configs}, nil)
	path := write(t, minimal+"modules:\n- name: m\n  config:\n    "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")+"\n")
	_, err := config.Load(path, []listener.Module{module}, nil)
	if err != nil {
		return got, strings.ReplaceAll(err.Error(), path+":", "")
	}
	return configs[0], ""
}

// tap notes what was decoded into C.
type tap[C any] struct {
	C    C `yaml:",inline"`
	seen *[]C
}

func (c tap[C]) Validate() error {
	*c.seen = append(*c.seen, c.C)
	return nil
}

func TestDecode(t *testing.T) {
	got, problems := decodeInto(t, everything{Text: "default", Untagged: "kept", Limit: limit{Low: 1}}, `
text: 12
flag: yes
small: -128
port: 0xffff
large: 18446744073709551615
ratio: 1
wait: 1h
since: 2026-01-02T03:04:05Z
address: 192.0.2.1
list: [a, "b"]
pair: [1, 2]
headers: {a: b, c: ""}
limits: {1: {low: 2}}
limit: {high: 3}
optional: {low: 4}
count: 5
children: [{text: a, children: [{text: b}]}]
any: {a: [1, x]}
raw: [anything]
size: 3k
strict: {a: 1s}
old: 6
shared: s
through: t
`)
	if problems != "" {
		t.Fatal(problems)
	}
	five := 5
	want := everything{
		Text: "12", Flag: true, Small: -128, Port: 0xffff, Large: 1<<64 - 1, Ratio: 1, Wait: time.Hour,
		Since:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Address:  netip.MustParseAddr("192.0.2.1"),
		List:     []string{"a", "b"},
		Pair:     [2]int{1, 2},
		Headers:  map[string]string{"a": "b", "c": ""},
		Limits:   map[int]limit{1: {Low: 2}},
		Limit:    limit{Low: 1, High: 3},
		Optional: &limit{Low: 4},
		Count:    &five,
		Children: []everything{{Text: "a", Children: []everything{{Text: "b"}}}},
		Any:      map[string]any{"a": []any{1, "x"}},
		Raw:      got.Raw,
		Size:     3 << 10,
		Strict:   strict{map[string]time.Duration{"a": time.Second}},
		Old:      old{6},
		Untagged: "kept",
		Common:   Common{"s"},
		Pointed:  &Pointed{"t"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(got.Raw.Content) != 1 || got.Raw.Content[0].Value != "anything" {
		t.Errorf("raw: %+v", got.Raw)
	}
}

func TestDecodeNull(t *testing.T) {
	defaults := everything{List: []string{"a"}, Headers: map[string]string{"a": "b"}, Optional: &limit{}, Limit: limit{Low: 1}}
	got, problems := decodeInto(t, defaults, "list:\nheaders: ~\noptional: null\nlimit:\nany:\n")
	if problems != "" {
		t.Fatal(problems)
	}
	if want := (everything{Limit: limit{Low: 1}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDecodeLeavesDefaultsAlone: instances of a module share what its defaults
// point to.
func TestDecodeLeavesDefaultsAlone(t *testing.T) {
	one := 1
	defaults := everything{Count: &one, Headers: map[string]string{"a": "b"}, Optional: &limit{Low: 1, High: 2}}
	got, problems := decodeInto(t, defaults, "count: 2\nheaders: {c: d}\noptional: {low: 3}\n")
	if problems != "" {
		t.Fatal(problems)
	}
	two := 2
	want := everything{Count: &two, Headers: map[string]string{"a": "b", "c": "d"}, Optional: &limit{Low: 3, High: 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if one != 1 || len(defaults.Headers) != 1 || *defaults.Optional != (limit{1, 2}) {
		t.Errorf("the defaults became %d, %v, %v", one, defaults.Headers, defaults.Optional)
	}
}

func TestDecodeAnchors(t *testing.T) {
	got, problems := decodeInto(t, everything{}, `
limit: &l {low: 1, high: 2}
optional: {<<: *l, high: 3}
limits:
  1: *l
  2: {<<: [{low: 7}, *l]}
text: &t word
list: [*t, b]
headers: {*t : x}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	want := everything{
		Limit: limit{1, 2}, Optional: &limit{1, 3}, Limits: map[int]limit{1: {1, 2}, 2: {7, 2}},
		Text: "word", List: []string{"word", "b"}, Headers: map[string]string{"word": "x"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeInlineMap(t *testing.T) {
	got, problems := decodeInto(t, loose{}, "name: a\nb: 1\nc: 2\n")
	if want := (loose{"a", map[string]int{"b": 1, "c": 2}}); problems != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %s", got, problems)
	}
	if _, got := decodeInto(t, loose{}, "name: a\nb: x\n"); got != `6: modules.config.b: want a whole number, have "x"` {
		t.Errorf("got %s", got)
	}
}

func TestDecodeProblems(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"text: [a]", "5: modules.config.text: want text, have a list"},
		{"text:", "5: modules.config.text: no value; want text, or leave the key out"},
		{"flag: 1", "5: modules.config.flag: want true or false, have 1"},
		{"small: 128", "5: modules.config.small: want a whole number from -128 to 127, have 128"},
		{"small: 1.0", "5: modules.config.small: want a whole number from -128 to 127, have 1.0"},
		{"port: -1", "5: modules.config.port: want a whole number from 0 to 65535, have -1"},
		{"large: -1", "5: modules.config.large: want a whole number, 0 or more, have -1"},
		{"ratio: much", `5: modules.config.ratio: want a number, have "much"`},
		{"wait: 5", "5: modules.config.wait: want a duration such as 15s, have 5"},
		{"since: yesterday", `5: modules.config.since: want a time such as 2006-01-02T15:04:05Z, have "yesterday"`},
		{"address: 1.2.3", `5: modules.config.address: ParseAddr("1.2.3"): IPv4 address too short`},
		{"address: [a]", "5: modules.config.address: want text, have a list"},
		{"pair: [1]", "5: modules.config.pair: want a list of 2, have a list"},
		{"pair: [1,\n  a]", `6: modules.config.pair: want a whole number, have "a"`},
		{"list: {a: b}", "5: modules.config.list: want a list such as [a, b], have a mapping"},
		{"list: [a,\n  [b]]", "6: modules.config.list: want text, have a list"},
		{"headers: [a]", "5: modules.config.headers: want a mapping (key: value), have a list"},
		{"headers:\n  a: b\n  a: c", `7: duplicate key "a", which line 6 has already; keep one of them`},
		{"headers:\n  a: {b: c}", "6: modules.config.headers.a: want text, have a mapping"},
		{"limits: {a: {}}", `5: modules.config.limits.a: want a whole number, have "a"`},
		{"limits:\n  1: {lo: 1}", `6: unknown key "lo"; did you mean "low"?`},
		{"optional:\n  middle: 1", `6: unknown key "middle" in modules.config.optional; known keys: high, low`},
		{"children:\n  - children:\n      - txt: a", `7: unknown key "txt"; did you mean "text"?`},
		{"children: &c\n  - children: *c", "6: modules.config.children.children.children: the anchor &c contains itself"},
		{"any: &a [*a]", "5: modules.config.any: anchor 'a' value contains itself"},
		{"any:\n  a: 1\n  a: 2", `7: modules.config.any: mapping key "a" already defined at line 6`},
		{"size: 3", `5: modules.config.size: "3" is no size; write 3k`},
		{"strict: a", "5: modules.config.strict: strict wants more than one value"},
		{"strict:\n  a: 1s\n  b: x", "7: modules.config.strict: want a duration such as 15s"},
		{"old: x", "5: modules.config.old: want a whole number"},
		{"error: x", "5: modules.config.error: a value of type error cannot be set from YAML"},
		{"done: x", "5: modules.config.done: a value of type chan bool cannot be set from YAML"},
		{"ignored: x", "5: unknown key \"ignored\" in modules.config; known keys: address, any, children, count, done, error, flag, headers, large, limit, limits, list, old, optional, pair, port, ratio, raw, shared, since, size, small, strict, text, through, untagged, wait"},
		{"hidden: 1", "5: unknown key \"hidden\" in modules.config; known keys: address, any, children, count, done, error, flag, headers, large, limit, limits, list, old, optional, pair, port, ratio, raw, shared, since, size, small, strict, text, through, untagged, wait"},
		{"small: !!int x", `5: modules.config.small: want a whole number from -128 to 127, have x`},
	} {
		if _, got := decodeInto(t, everything{}, test.text); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
}

// TestDecodeExpansion has a short file that would expand to 10^12 values.
func TestDecodeExpansion(t *testing.T) {
	for name, levels := range map[string]string{
		"values": "a%d: &a%d {children: [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]}\n",
		"merges": "a%d: &a%d {<<: [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("a0: &a0 {text: x}\n")
			for i := 1; i <= 12; i++ {
				args := []any{i, i}
				for range 10 {
					args = append(args, i-1)
				}
				fmt.Fprintf(&text, levels, args...)
			}
			type levelsOf struct {
				Levels map[string]everything `yaml:",inline"`
			}
			_, got := decodeInto(t, levelsOf{}, text.String())
			if !strings.HasSuffix(got, "too large: the aliases (*name) expand to more than 500000 values") {
				t.Errorf("got %s", got)
			}
		})
	}
}
