package syncrepl

import (
	"fmt"
	"time"
)

// Vendor is the kind of provider, as far as it makes a difference.
type Vendor int

// The vendors known.
const (
	// VendorUnknown is treated by the letter of RFC 4533.
	VendorUnknown Vendor = iota
	// VendorOpenLDAP is slapd with the overlay syncprov.
	VendorOpenLDAP
	// Vendor389 is the 389 Directory Server with the Content Synchronization plugin.
	// It ends a refreshOnly refresh as if it had listed what is present without
	// having done so; so only a refresh without a cookie sweeps.
	Vendor389
)

// String returns the vendor's usual name.
func (v Vendor) String() string {
	switch v {
	case VendorOpenLDAP:
		return "OpenLDAP"
	case Vendor389:
		return "389 DS"
	}
	return "unknown"
}

// Session describes a session that begins.
type Session struct {
	// URI of the provider.
	URI string
	// Vendor of the provider and its version as the root DSE has it, often empty.
	Vendor  Vendor
	Version string
	// Attempt counts the sessions of a Run, from 1; connections that failed earlier
	// than here are counted too.
	Attempt int
	// Provider answers questions; see there. It is for use within the calls of the sink.
	Provider Provider
}

// EventKind says what an [Event] is about.
type EventKind int

// The kinds of events.
const (
	// EventBound: a connection to URI stands and is authenticated.
	EventBound EventKind = iota + 1
	// EventFailed: the session with URI, or the attempt at one, failed with Err. The
	// next attempt follows in Wait.
	EventFailed
	// EventCookieReset: the provider can't go on from the cookie, because of Err.
	EventCookieReset
	// EventRepeat: the sink asked for the refresh to be repeated ([ErrRepeat]) because of
	// Err. The next session follows at once.
	EventRepeat
	// EventReferral: the provider sent a referral, named in Err, which is not
	// followed. Reported once in a session.
	EventReferral
)

// Event is something worth a line in a log.
type Event struct {
	Kind EventKind
	// URI of the provider it is about.
	URI string
	// Err says why, for the kinds that have a reason.
	Err error
	// Wait is the time until the next attempt.
	Wait time.Duration
}

// String returns the event as a sentence for people.
func (e Event) String() string {
	switch e.Kind {
	case EventBound:
		return "connected to " + e.URI
	case EventFailed:
		return fmt.Sprintf("session failed, next attempt in %v: %v", e.Wait.Round(time.Millisecond), e.Err)
	case EventCookieReset:
		return fmt.Sprintf("%s cannot go on from the cookie: %v", e.URI, e.Err)
	case EventRepeat:
		return fmt.Sprintf("synchronizing with %s anew: %v", e.URI, e.Err)
	case EventReferral:
		return fmt.Sprintf("%s sent a referral that is not followed: %v", e.URI, e.Err)
	}
	return "event of " + e.URI
}
