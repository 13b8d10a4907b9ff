package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// ErrNotFound is returned when there is no such module, or no such failed call.
var ErrNotFound = errors.New("not found")

// Control is what commands can have done. Errors that are [ErrNotFound] are told as such.
type Control interface {
	// Pause has no new call of a module made, or lets it go on. It is remembered.
	Pause(module string, paused bool) error
	// Failed lists the failed calls of a module, of all modules if it is empty.
	Failed(module string) ([]Failed, error)
	// Show describes the failed call that the target names by DN, UUID or seq.
	Show(module, target string) (FailedDetail, error)
	// Retry repeats failed calls now and returns them: the one that the target names, or
	// without one all; with latest together with what is queued for their entries.
	Retry(ctx context.Context, module, target string, latest bool) ([]Failed, error)
	// Drop gives failed calls up and returns them.
	Drop(ctx context.Context, module, target string) ([]Failed, error)
	// Resync has a module begin anew, or with a DN, has it told again of the entry and all
	// below it. It returns when that is stored.
	Resync(ctx context.Context, module, dn string) (Resynced, error)
	// Forget drops the state of a module that is no longer in the configuration.
	Forget(module string) error
}

// Resynced is the answer to a resync.
type Resynced struct {
	// Retried counts the failed calls that are repeated.
	Retried int `json:"retried"`
}

// Failed is a call that failed.
type Failed struct {
	Module string `json:"module"`
	Seq    uint64 `json:"seq"`
	// Call is create, modify or remove.
	Call string `json:"call"`
	UUID string `json:"uuid"`
	// DN is the new one, for a remove the old one; OldDN is given if it moved.
	DN    string `json:"dn"`
	OldDN string `json:"old_dn,omitempty"`
	// Attempts counts those that failed; First and Last are when the first and the last
	// one did.
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	// Next is when the call is repeated; absent: it waits for a decision.
	Next time.Time `json:"next,omitzero"`
	// BacksOff: the module backs off as a whole beyond that; its status says when it makes
	// its next call, which may be another one.
	BacksOff bool   `json:"backs_off,omitempty"`
	Error    string `json:"error"`
	// Waiting counts the entry's changes that wait for it.
	Waiting int `json:"waiting"`
}

// FailedDetail is a failed call with its content.
type FailedDetail struct {
	Failed
	// Stack is that of the panic, if it was one.
	Stack string `json:"stack,omitempty"`
	// Changed are the attributes that differ.
	Changed []Changed `json:"changed,omitempty"`
	// Queue are the entry's changes that wait, in order.
	Queue []Queued `json:"queue,omitempty"`
}

// Changed is an attribute that differs. Values of passwords and keys are not given.
type Changed struct {
	Attribute string   `json:"attribute"`
	Removed   []string `json:"removed,omitempty"`
	Added     []string `json:"added,omitempty"`
}

// Queued is a change that waits for a failed call.
type Queued struct {
	Seq  uint64 `json:"seq"`
	Call string `json:"call"`
	DN   string `json:"dn"`
}

// handle answers for the commands that c carries out.
func handle(mux *http.ServeMux, c Control) {
	mux.HandleFunc("POST /modules/{module}/pause", answer(func(r *http.Request) (any, error) {
		return nil, c.Pause(r.PathValue("module"), r.FormValue("off") == "")
	}))
	mux.HandleFunc("POST /modules/{module}/resync", answer(func(r *http.Request) (any, error) {
		return c.Resync(r.Context(), r.PathValue("module"), r.FormValue("dn"))
	}))
	mux.HandleFunc("POST /modules/{module}/forget", answer(func(r *http.Request) (any, error) {
		return nil, c.Forget(r.PathValue("module"))
	}))
	mux.HandleFunc("GET /failed", answer(func(r *http.Request) (any, error) { return c.Failed(r.FormValue("module")) }))
	mux.HandleFunc("GET /failed/{module}", answer(func(r *http.Request) (any, error) {
		return c.Show(r.PathValue("module"), r.FormValue("target"))
	}))
	mux.HandleFunc("POST /failed/{module}/retry", answer(func(r *http.Request) (any, error) {
		return c.Retry(r.Context(), r.PathValue("module"), r.FormValue("target"), r.FormValue("latest") != "")
	}))
	mux.HandleFunc("POST /failed/{module}/drop", answer(func(r *http.Request) (any, error) {
		return c.Drop(r.Context(), r.PathValue("module"), r.FormValue("target"))
	}))
}

func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		switch {
		case errors.Is(err, ErrNotFound):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out) // the client is gone: nobody to tell
		}
	}
}

// Pause asks for [Control.Pause].
func (c *Client) Pause(ctx context.Context, module string, paused bool) error {
	query := url.Values{}
	if !paused {
		query.Set("off", "1")
	}
	var none any
	return c.do(ctx, http.MethodPost, "/modules/"+url.PathEscape(module)+"/pause?"+query.Encode(), &none)
}

// Failed asks for [Control.Failed].
func (c *Client) Failed(ctx context.Context, module string) (out []Failed, err error) {
	err = c.do(ctx, http.MethodGet, "/failed?"+url.Values{"module": {module}}.Encode(), &out)
	return out, err
}

// Show asks for [Control.Show].
func (c *Client) Show(ctx context.Context, module, target string) (out FailedDetail, err error) {
	err = c.do(ctx, http.MethodGet, "/failed/"+url.PathEscape(module)+"?"+url.Values{"target": {target}}.Encode(), &out)
	return out, err
}

// Retry asks for [Control.Retry].
func (c *Client) Retry(ctx context.Context, module, target string, latest bool) (out []Failed, err error) {
	query := url.Values{"target": {target}}
	if latest {
		query.Set("latest", "1")
	}
	err = c.do(ctx, http.MethodPost, "/failed/"+url.PathEscape(module)+"/retry?"+query.Encode(), &out)
	return out, err
}

// Drop asks for [Control.Drop].
func (c *Client) Drop(ctx context.Context, module, target string) (out []Failed, err error) {
	err = c.do(ctx, http.MethodPost, "/failed/"+url.PathEscape(module)+"/drop?"+url.Values{"target": {target}}.Encode(), &out)
	return out, err
}

// Resync asks for [Control.Resync].
func (c *Client) Resync(ctx context.Context, module, dn string) (out Resynced, err error) {
	err = c.do(ctx, http.MethodPost, "/modules/"+url.PathEscape(module)+"/resync?"+url.Values{"dn": {dn}}.Encode(), &out)
	return out, err
}

// Forget asks for [Control.Forget].
func (c *Client) Forget(ctx context.Context, module string) error {
	var none any
	return c.do(ctx, http.MethodPost, "/modules/"+url.PathEscape(module)+"/forget", &none)
}
