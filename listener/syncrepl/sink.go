package syncrepl

import "context"

// Sink takes what a [Consumer] learns, and keeps the content and the cookie.
//
// All methods are called by one goroutine, in the order of the provider's messages.
// An error ends [Consumer.Run] with that error, as does a panic: neither is
// retried. Two kinds of errors end the session only: one that matches [ErrRepeat], and
// what a method of [Provider] returned, which counts as a failure of the provider. Long
// work belongs into Flush; while a sink is busy nothing is lost, the provider waits. ctx
// ends when Run's ctx does.
type Sink interface {
	// Begin starts the refresh of a session and returns the cookie to resume from;
	// nil or empty asks for the full content. Whatever an earlier session left
	// unfinished is void: mentions start anew. The adds and modifies it brought may
	// stay.
	Begin(ctx context.Context, s Session) (cookie []byte, err error)

	// Entry reports the current state of an entry that was added or modified, or is
	// sent because the provider can't tell. Within a refresh it is a mention. The
	// entry and its bytes are valid until the next Flush returns and must not be
	// changed.
	//
	// Two UUIDs may have one DN until the refresh ends; then the later one is right.
	Entry(ctx context.Context, e *Entry) error

	// Present mentions entries that exist unchanged. It is called in refreshes only.
	// Some of them may be unknown to the sink: these are not an error. ids is valid
	// during the call.
	Present(ctx context.Context, ids []UUID) error

	// Delete reports entries that are gone from the searched content. They may be
	// unknown, or deleted before. An entry deleted before its descendants are moved
	// away or deleted happens in refreshes. ids is valid during the call.
	Delete(ctx context.Context, ids []UUID) error

	// Sweep says that every entry which was not mentioned since Begin is gone. It is
	// called at most once in a session, before RefreshDone, and there may be Entry
	// and Delete calls in between.
	Sweep(ctx context.Context) error

	// RefreshDone ends the refresh: the content is the provider's now. In the mode
	// [RefreshAndPersist] live changes follow, in the order they were made.
	RefreshDone(ctx context.Context) error

	// Cookie hands over the cookie to return from the next Begin. It stands for
	// everything reported so far and has to be stored with it or after it, never
	// before. It is called after RefreshDone only. cookie is the sink's to keep.
	Cookie(ctx context.Context, cookie []byte) error

	// ResetCookie replaces the stored cookie by the given one, nil to drop it, because
	// the provider can't go on from the stored one; reason says why. A new session
	// follows, with a Begin. It has to be durable when it returns.
	ResetCookie(ctx context.Context, cookie []byte, reason error) error

	// Flush is called after a bounded number of messages and bytes, in the persist
	// stage also when nothing more has arrived, before the consumer waits for the
	// network, and at the end of a session. The sink makes durable what it was given,
	// all of it in one go or as it likes. At the end of Run, ctx is one that has not
	// ended.
	Flush(ctx context.Context) error
}
