package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Explainer is what the command explain needs.
type Explainer interface {
	// Explain tells what a module has to do with the entry that the target names by DN or
	// UUID. An entry that the mirror lacks is no error.
	Explain(module, target string) (Explanation, error)
}

// Explanation is the document of the command explain.
type Explanation struct {
	Module string `json:"module"`
	// State is the module's as in [ModuleStatus]; empty: the daemon does not run.
	State string `json:"state,omitempty"`
	// DN and UUID of the entry; DN is what was asked for if there is none.
	DN   string `json:"dn"`
	UUID string `json:"uuid,omitempty"`
	// Mirrored tells whether the mirror has the entry, Filled whether it is complete.
	Mirrored bool `json:"mirrored"`
	Filled   bool `json:"filled"`
	// Schema is provider or built-in: what the filter goes by.
	Schema string `json:"schema"`
	// Filter is absent if the mirror lacks the entry.
	Filter *FilterPart `json:"filter,omitempty"`
	// Member tells whether the module was told of the entry, or is about to be.
	Member bool `json:"member"`
	// Attributes whose change the module hears of; absent: all but operational ones.
	Attributes []string `json:"attributes,omitempty"`
	// Queue are the calls that the module is owed for the entry, in order.
	Queue []Owed `json:"queue"`
	// LastCalls are the module's last calls for the entry since the daemon was started, the
	// latest first, as far as they are remembered.
	LastCalls []LastCall `json:"last_calls,omitempty"`
	// Because says in sentences why the module was, or was not, called.
	Because []string `json:"because"`
}

// FilterPart is a part of a filter and what it is for the entry.
type FilterPart struct {
	// Text is the assertion, or the operator of Parts: &, | or !.
	Text string `json:"text"`
	// Value is true, false or undefined.
	Value string `json:"value"`
	// Rule is the matching rule that values were compared by.
	Rule string `json:"rule,omitempty"`
	// Why an assertion can't be true, or what is missing.
	Why string `json:"why,omitempty"`
	// Compared are values of the entry that were compared, those that match first; those of
	// passwords and keys are not given. More is how many others there were.
	Compared []ComparedValue `json:"compared,omitempty"`
	More     int             `json:"more,omitempty"`
	Parts    []FilterPart    `json:"parts,omitempty"`
}

// ComparedValue is a value of the entry and what the assertion is for it.
type ComparedValue struct {
	Attribute string `json:"attribute"`
	Value     string `json:"value"`
	Result    string `json:"result"`
}

// Owed is a call that a module is owed.
type Owed struct {
	Seq   uint64 `json:"seq"`
	Call  string `json:"call"`
	Cause string `json:"cause"`
	DN    string `json:"dn"`
	// State is queued, failing (it is repeated), set aside (it waits for a decision) or
	// waiting (for a call that failed).
	State    string    `json:"state"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// LastCall is a call that was made.
type LastCall struct {
	Seq  uint64    `json:"seq"`
	Call string    `json:"call"`
	Time time.Time `json:"time"`
	// Error is why it failed; empty: it succeeded.
	Error string `json:"error,omitempty"`
}

func handleExplain(mux *http.ServeMux, e Explainer) {
	mux.HandleFunc("GET /explain/{module}", answer(func(r *http.Request) (any, error) {
		return e.Explain(r.PathValue("module"), r.FormValue("target"))
	}))
}

// Explain asks for [Explainer.Explain].
func (c *Client) Explain(ctx context.Context, module, target string) (out Explanation, err error) {
	err = c.do(ctx, http.MethodGet, "/explain/"+url.PathEscape(module)+"?"+url.Values{"target": {target}}.Encode(), &out)
	return out, err
}
