// Package admin is the daemon's control socket: HTTP with JSON over a Unix socket in
// the state directory, which only the daemon's user can open.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SocketName is the name of the socket inside the state directory.
const SocketName = "admin.sock"

// ErrNotRunning is returned by clients when no daemon listens on the socket.
var ErrNotRunning = errors.New("the daemon is not running")

// Status is the document of the command status.
type Status struct {
	// Version of the daemon.
	Version string `json:"version"`
	// PID of the daemon's process.
	PID int `json:"pid"`
	// Started is when it was started.
	Started time.Time `json:"started"`
	// Phase is connecting, refresh or persist.
	Phase string `json:"phase"`
	// Provider is the URI of the server followed, or of the last one.
	Provider string `json:"provider,omitempty"`
	// LastError is why there is no session, while the phase is connecting.
	LastError string `json:"last_error,omitempty"`
	// Base is the search base.
	Base string `json:"base"`
	// Cookie is what the next session resumes from, with what can't be printed
	// escaped; empty before the first refresh is complete.
	Cookie string `json:"cookie,omitempty"`
	// Filled tells whether the mirror has once been complete.
	Filled bool `json:"filled"`
	// Entries counts the entries in the mirror.
	Entries uint64 `json:"entries"`
	// Subtrees counts the entries that came with a subtree which is yet to be read.
	Subtrees int `json:"subtrees,omitempty"`
	// Received counts the entries that came in the current session.
	Received uint64 `json:"received"`
	// Guard is set while the removes of a refresh are held back.
	Guard *GuardStatus `json:"guard,omitempty"`
	// Shared is the condition of the modules' shared state.
	Shared SharedStatus `json:"shared"`
	// Modules by name.
	Modules []ModuleStatus `json:"modules"`
}

// GuardStatus is the part of Status for removes that are held back.
type GuardStatus struct {
	// Removes is their number at the last refresh, and Entries the size of the mirror
	// then.
	Removes uint64 `json:"removes"`
	Entries uint64 `json:"entries"`
	// Reason says why they are held, Examples names some of the entries.
	Reason   string   `json:"reason"`
	Examples []string `json:"examples"`
	// Since is when that began.
	Since time.Time `json:"since"`
	// Released is set when they were released, and the refresh is yet to come.
	Released bool `json:"released,omitempty"`
}

// Released is the answer to a release.
type Released struct {
	// Removes of the next refresh, at most; zero if none were held.
	Removes uint64 `json:"removes,omitempty"`
	// Modules may let so many entries go, at most, by the modules' names.
	Modules map[string]uint64 `json:"modules,omitempty"`
}

// Waited is the answer to a wait; empty when all is handled.
type Waited struct {
	// Blocked says what keeps it from coming to that by itself.
	Blocked []string `json:"blocked,omitempty"`
	// Missing says what is not handled.
	Missing []string `json:"missing,omitempty"`
}

// SharedStatus is the part of Status for shared variables and locks.
type SharedStatus struct {
	// Kind is memcached or in-process.
	Kind string `json:"kind"`
	// Unavailable holds the error of each memcached that does not answer, by server.
	Unavailable map[string]string `json:"unavailable,omitempty"`
}

// ModuleStatus is the part of Status for one module instance.
type ModuleStatus struct {
	// Name of the instance, and of the module it is one of.
	Name   string `json:"name"`
	Module string `json:"module"`
	// State is waiting (for the mirror to be filled), cleaning, initializing, walking, held (the
	// removes of its walk are), running, failing, backing off, stopped, stuck, paused,
	// idle or orphaned (no longer in the configuration).
	State string `json:"state"`
	// Queued counts the calls owed, with those in flight and failing.
	Queued int `json:"queued"`
	// InFlight counts the calls that run now.
	InFlight int `json:"in_flight"`
	// Failing counts the entries whose call failed; SetAside those of them that wait for
	// a decision.
	Failing  int `json:"failing"`
	SetAside int `json:"set_aside"`
	// Calls and Failures count the calls that succeeded and failed since the start.
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	// LastError is that of the last failed call.
	LastError string `json:"last_error,omitempty"`
	// NextProbe is when a module that backs off makes its next call.
	NextProbe time.Time `json:"next_probe,omitzero"`
	// Folded: the module is at its limit of queued calls, and they were folded.
	Folded bool `json:"folded,omitempty"`
	// Stalled: the module is at its limit of queued calls, and nothing more is read from the
	// provider until there is room.
	Stalled bool `json:"stalled,omitempty"`
	// Stuck counts the calls that ignore their timeout, StuckFor is how long the oldest
	// of them has been running, in seconds.
	Stuck    int     `json:"stuck,omitempty"`
	StuckFor float64 `json:"stuck_for,omitempty"`
	// Workers are the module's worker processes, if it has any.
	Workers []WorkerStatus `json:"workers,omitempty"`
	// WalkDone and WalkTotal tell how far a walk through the mirror has come.
	WalkDone  uint64 `json:"walk_done,omitempty"`
	WalkTotal uint64 `json:"walk_total,omitempty"`
	// HeldRemoves is the number of entries that the walk would take from the module, and
	// HeldExamples names some, while these removes are held back.
	HeldRemoves  uint64   `json:"held_removes,omitempty"`
	HeldExamples []string `json:"held_examples,omitempty"`
}

// WorkerStatus is the part of Status for one worker process.
type WorkerStatus struct {
	// PID of the process; 0 while there is none.
	PID int `json:"pid,omitempty"`
	// State is starting, idle, busy, or waiting (for the next start).
	State string `json:"state"`
	// Started is when the process was.
	Started time.Time `json:"started,omitzero"`
	// Restarts counts the processes that took the place of one before.
	Restarts int `json:"restarts"`
	// LastExit is how the one before ended, and LastExitAt when.
	LastExit   string    `json:"last_exit,omitempty"`
	LastExitAt time.Time `json:"last_exit_at,omitzero"`
	// NextStart is when the next one is started, if none is there.
	NextStart time.Time `json:"next_start,omitzero"`
}

// Service is what the daemon does for clients. Its methods are called by several
// goroutines at once.
type Service interface {
	Control
	Explainer
	// Status returns the daemon's status.
	Status() (Status, error)
	// Release lets go what is held back.
	Release() (Released, error)
	// Wait waits until ctx ends, or every change that the provider has now is handled by
	// the module, by all if it is empty.
	Wait(ctx context.Context, module string) (Waited, error)
}

// Server answers on the socket.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Listen opens the socket in dir, mode 0600, in place of one that a dead process
// left. The caller must hold the state file's lock.
func Listen(dir string, service Service) (*Server, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", answer(func(*http.Request) (any, error) { return service.Status() }))
	mux.HandleFunc("POST /release", answer(func(*http.Request) (any, error) { return service.Release() }))
	mux.HandleFunc("POST /wait", answer(func(r *http.Request) (any, error) { return waitFor(service, r) }))
	handle(mux, service)
	handleExplain(mux, service)
	return &Server{listener: l, http: http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}, nil
}

// listenUnix listens on a path that may be longer than the 108 bytes of a socket
// address, by way of the directory's descriptor.
func listenUnix(path string) (net.Listener, error) {
	short, release, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer release()
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", short)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, nil
}

func shorten(path string) (short string, release func(), err error) {
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends Serve and removes the socket.
func (s *Server) Close() error {
	path := s.listener.Addr().String()
	err := s.http.Close()
	if removed := os.Remove(path); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// Client asks the daemon that uses the state directory dir.
type Client struct{ dir string }

// NewClient returns a client. It does not connect.
func NewClient(dir string) *Client { return &Client{dir} }

// Status asks for the daemon's status. The error is ErrNotRunning when there is no
// daemon.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, http.MethodGet, "/status", &s)
	return s, err
}

// Release asks the daemon to let go what is held back. The error is ErrNotRunning when
// there is no daemon.
func (c *Client) Release(ctx context.Context) (Released, error) {
	var r Released
	err := c.do(ctx, http.MethodPost, "/release", &r)
	return r, err
}

// waitFor limits a wait as the request says.
func waitFor(service Service, r *http.Request) (Waited, error) {
	ctx := r.Context()
	if text := r.FormValue("timeout"); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil {
			return Waited{}, err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return service.Wait(ctx, r.FormValue("module"))
}

// Wait asks for [Service.Wait], for so long at most; 0: without limit.
func (c *Client) Wait(ctx context.Context, module string, timeout time.Duration) (out Waited, err error) {
	query := url.Values{"module": {module}}
	if timeout > 0 {
		query.Set("timeout", timeout.String())
	}
	err = c.do(ctx, http.MethodPost, "/wait?"+query.Encode(), &out)
	return out, err
}

func (c *Client) do(ctx context.Context, method, path string, out any) error {
	socket := filepath.Join(c.dir, SocketName)
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			short, release, err := shorten(socket)
			if err != nil {
				return nil, err
			}
			defer release()
			var d net.Dialer
			return d.DialContext(ctx, "unix", short)
		},
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://listenerd"+path, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s", ErrNotRunning, socket)
	case err != nil:
		return fmt.Errorf("admin socket: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return errors.New(strings.TrimSpace(string(text)))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
