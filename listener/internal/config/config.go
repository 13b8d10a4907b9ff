package config

import (
	"time"

	"github.com/listenerd/listenerd/listener"
)

// Defaults of keys that may be left out.
const (
	DefaultScope           = "sub"
	DefaultFilter          = "(objectClass=*)"
	DefaultNetworkTimeout  = 10 * time.Second
	DefaultProbeInterval   = time.Minute
	DefaultMaxMessageSize  = 64 << 20
	DefaultStaleGrace      = 10 * time.Minute
	DefaultStateDir        = "/var/lib/listenerd"
	DefaultShutdownTimeout = 30 * time.Second
	DefaultLogLevel        = "info"
	DefaultLogFormat       = "json"
	DefaultQuietPeriod     = 15 * time.Second
	DefaultPostRunMaxDelay = 5 * time.Minute
	DefaultRetryMin        = time.Second
	DefaultRetryMax        = 5 * time.Minute
	DefaultOnceAttempts    = 3
	DefaultMaxTasks        = 1_000_000
	DefaultSharedTimeout   = time.Second

	DefaultMaxDeletePercent = 20
	DefaultMinDeletes       = 100
)

// The bounds of max_message_size, in octets. No LDAP message can be larger than what a
// length of four octets says, and [Load] keeps it within what an int holds everywhere.
const (
	MinMessageSize = 64 << 10
	MaxMessageSize = 1 << 30
)

// MaxParallelism bounds the number that parallelism takes, in both directions.
const MaxParallelism = 10_000

// Config is a checked configuration.
type Config struct {
	// Path is the absolute path of the file it was read from.
	Path string
	// LDAP says which part of which directory to follow.
	LDAP LDAP
	// StateDir is the absolute path of the state directory (state_dir). It need
	// not exist yet. Default /var/lib/listenerd.
	StateDir string
	// ShutdownTimeout is the time that calls in flight get at shutdown
	// (shutdown_timeout), more than 0. Default 30 s.
	ShutdownTimeout time.Duration
	// Guard says how many entries may go without being released.
	Guard Guard
	// Shared says where the modules' shared variables and locks are kept.
	Shared Shared
	// Log says what the daemon logs.
	Log Log
	// Modules are the module instances in the order of the file. May be empty.
	Modules []Module
	// Warnings are problems that do not keep the daemon from running, by line.
	Warnings []Problem
}

// LDAP is the search to follow and the identity to follow it with. Each part
// comes from its key or from the LDAP URL in uri.
type LDAP struct {
	// URIs are the providers in the order they are tried, each of the form
	// ldap://host:port, ldaps://host:port or ldapi://%2Fpath, without the rest of an
	// LDAP URL.
	// [ParseLDAPURL] takes them apart. At least one.
	URIs []string
	// Base is the DN of the search base, as written. Required.
	Base string
	// Scope is base, one or sub. Default sub.
	Scope string
	// Filter is the search filter. Default (objectClass=*).
	Filter string
	// Attributes are asked of the provider. Default "*" and "+": all user
	// attributes and all operational ones.
	Attributes []string
	// Bind is the identity.
	Bind Bind
	// TLS says how the connection is secured.
	TLS TLS
	// NetworkTimeout is for each of connecting, TLS and binding, more than 0
	// (network_timeout). Default 10 s.
	NetworkTimeout time.Duration
	// ProbeInterval is how long nothing may arrive before the provider is asked whether
	// it is there (probe_interval); 0: it is never asked. Default 1 min.
	ProbeInterval time.Duration
	// MaxMessageSize in octets that a message of the provider may have
	// (max_message_size), from [MinMessageSize] to [MaxMessageSize]. Default 64 MiB.
	MaxMessageSize int
	// StaleGrace is how long all providers may be older than the mirror before it is
	// brought back to what they have (stale_grace), more than 0. Default 10 min.
	StaleGrace time.Duration
	// FullReloadInterval is how long after one full load another one is compared with
	// the mirror (full_reload_interval). Default 0: never.
	FullReloadInterval time.Duration
}

// Guard says how many entries a refresh, or the walk of a module, may remove without
// being released: more than both numbers are held back.
type Guard struct {
	// MaxDeletePercent of the entries in the mirror, or of those that the module knows,
	// 0 to 100 (max_delete_percent). Default 20.
	MaxDeletePercent int
	// MinDeletes is a number that may go in any case, 0 or more (min_deletes). Default
	// 100.
	MinDeletes int
}

// Shared says where the modules' shared variables and locks are kept.
type Shared struct {
	// Memcached lists host:port, or paths of sockets. Empty: in the process.
	Memcached []string
	// Timeout of one operation, more than 0. Default 1 s.
	Timeout time.Duration
	// Required makes the start fail when a server does not answer. Default false:
	// a warning.
	Required bool
	// Namespace keeps daemons apart that use the same servers. Default: the host's name
	// and the state directory.
	Namespace string
}

// Log says what the daemon logs.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string
	// Format is json or console. Default json.
	Format string
}

// Module is a configured instance of a registered module.
type Module struct {
	// Name is the instance name, unique in the file. Required.
	Name string
	// Registered is the name of the registered module (the key module).
	// Default: Name.
	Registered string
	// Spec is the effective spec: what the module declares, overridden by the keys
	// of the instance. Its name is the registered one.
	Spec listener.Spec
	// QuietPeriod is how long a module must have had nothing to do before its
	// PostRun, 0 or more. Default 15 s.
	QuietPeriod time.Duration
	// PostRunMaxDelay is the time from a module's first call to its PostRun if it
	// never becomes quiet, more than 0. Default 5 min.
	PostRunMaxDelay time.Duration
	// Timeout bounds one call. Default 0: unlimited.
	Timeout time.Duration
	// Retry says how failed calls are repeated.
	Retry Retry
	// StopOnError (on_error: stop) halts the module at a failed call until it succeeds
	// or is decided on. Default false (on_error: set_aside): other entries go on.
	StopOnError bool
	// Latest (delivery: latest) makes one call of what is queued and unattempted for an
	// entry. Default false (delivery: every): each change is a call.
	Latest bool
	// MaxTasks is how many calls may be queued, at least 1; the transaction that exceeds
	// it is completed. Default 1,000,000.
	MaxTasks int
	// Stall (on_full: stall) stops reading from the provider at MaxTasks. Default false
	// (on_full: fold): what is queued is folded as with Latest.
	Stall bool
	// Known (bootstrap: none) takes what is there when the module is new as known to it.
	// Default false (bootstrap: walk): it is told of everything.
	Known bool
	// Process says how the module's worker processes run (isolation: process); nil
	// (isolation: none, the default): it runs in the daemon's.
	Process *Process
	// Instance is the module with its own configuration, ready to be opened. Its
	// Spec is the one before the overrides; use the field Spec.
	Instance listener.Instance
	// Line is the line of the entry in the file.
	Line int
}

// Retry says how the failed calls of a module are repeated.
type Retry struct {
	// Min is the delay before the first repetition, more than 0; it doubles with
	// each further one. Default 1 s.
	Min time.Duration
	// Max is what the delay grows to, at least Min. Default 5 min.
	Max time.Duration
	// MaxAttempts is the number of attempts after which an entry waits for a
	// decision. Default 0: unlimited.
	MaxAttempts int
	// OnceAttempts takes the place of MaxAttempts in a run with --once: after that
	// many attempts it no longer waits for the entry. At least 1, default 3.
	OnceAttempts int
}
