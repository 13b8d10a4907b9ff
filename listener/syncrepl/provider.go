package syncrepl

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// Provider answers a sink's questions about the searched content, beside the sync search:
// each call opens a bound connection to the session's provider and closes it again. What
// it answers may be ahead of what the session has reported.
//
// A sink may return an error of these methods as it is, or wrapped: it ends the session.
type Provider interface {
	// Subtree reads the entry named base and all below it that belong to the searched
	// content, by a sync search in the mode RefreshOnly, and hands them to take in
	// batches of a few MiB, in the provider's order. An entry and its bytes are valid
	// during the call, whose error ends Subtree and is returned. That there is no such
	// entry is no error: nothing is taken; as with a scope that has no subtrees.
	Subtree(ctx context.Context, base string, take func([]Entry) error) error

	// There tells which of the entries are part of the searched content, by a search for
	// each name: those that have their name and their UUID there.
	There(ctx context.Context, entries []Name) ([]bool, error)
}

// Name is an entry's UUID and the name it is known by.
type Name struct {
	UUID UUID
	DN   string
}

// providerError is an error of a method of Provider on its way through the sink.
type providerError struct{ err error }

func (e *providerError) Error() string { return e.err.Error() }
func (e *providerError) Unwrap() error { return e.err }

type provider struct {
	c      *Consumer
	uri    string
	vendor Vendor
}

var _ Provider = (*provider)(nil)

// Subtree implements [Provider].
func (p *provider) Subtree(ctx context.Context, base string, take func([]Entry) error) error {
	if p.c.cfg.Scope != ScopeSub {
		return nil // nothing that is below an entry is part of it
	}
	l, err := p.c.open(ctx, p.uri)
	if err != nil {
		return &providerError{err}
	}
	defer l.close()
	request := p.c.request(nil)
	request.Base, request.Mode = base, wire.ModeRefreshOnly
	if err := l.wire.Search(request); err != nil {
		return p.failed(base, connectionError(err))
	}
	b := batch{take: take}
	defer b.release()
	for {
		k := l.wire.Poll()
		if k == nil {
			if k, err = l.wire.Next(ctx); err != nil {
				return p.failed(base, connectionError(err))
			}
		}
		b.held = append(b.held, k)
		b.bytes += k.Size()
		for i := range k.Messages {
			m := &k.Messages[i]
			switch {
			case m.Kind == wire.KindEntry && (m.State == wire.StateAdd || m.State == wire.StateModify):
				b.entries = append(b.entries, Entry{UUID: m.UUID, Added: m.State == wire.StateAdd, DN: m.DN, Attributes: m.Attributes})
			case m.Kind != wire.KindDone:
			case m.Done.Code == ldap.LDAPResultNoSuchObject:
				return nil
			case m.Done.Code != 0:
				return p.failed(base, &ResultError{Code: m.Done.Code, MatchedDN: m.Done.MatchedDN, Diagnostic: m.Done.Diagnostic})
			case !m.Done.SyncDone:
				return p.failed(base, fmt.Errorf("%w: the search ended without a Sync Done control", ErrProtocol))
			default:
				return b.flush()
			}
		}
		if b.bytes >= flushBytes {
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
}

func (p *provider) failed(dn string, err error) error {
	return &providerError{fmt.Errorf("%s: search at %s: %w", p.uri, dn, err)}
}

// batch is entries with the memory that they lie in.
type batch struct {
	take    func([]Entry) error
	entries []Entry
	held    []*wire.Chunk
	bytes   int
}

func (b *batch) flush() error {
	defer b.release()
	if len(b.entries) == 0 {
		return nil
	}
	return b.take(b.entries)
}

func (b *batch) release() {
	for _, k := range b.held {
		k.Release()
	}
	clear(b.entries)
	b.entries, b.held, b.bytes = b.entries[:0], b.held[:0], 0
}

// The attributes that have the sync UUID: RFC 4530, and that of 389 DS.
const (
	attrEntryUUID  = "entryUUID"
	attrNSUniqueID = "nsUniqueId"
)

// asking is how many searches There has under way at a time.
const asking = 16

// There implements [Provider].
func (p *provider) There(ctx context.Context, entries []Name) ([]bool, error) {
	conn, err := p.c.connect(ctx, p.uri)
	if err != nil {
		return nil, &providerError{err}
	}
	defer conn.Close()
	there := make([]bool, len(entries))
	errs := make([]error, asking)
	var running sync.WaitGroup
	for worker := range asking {
		running.Go(func() {
			for i := worker; i < len(entries) && errs[worker] == nil; i += asking {
				var err error
				if there[i], err = p.there(ctx, conn, entries[i]); err != nil {
					errs[worker] = p.failed(entries[i].DN, err)
				}
			}
		})
	}
	running.Wait()
	for _, err := range errs { // one failure is mostly that of all
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}

func (p *provider) there(ctx context.Context, conn *ldap.Conn, e Name) (bool, error) {
	request := ldap.NewSearchRequest(e.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		p.c.cfg.Filter, []string{attrEntryUUID, attrNSUniqueID}, []ldap.Control{ldap.NewControlManageDsaIT(true)})
	var found *ldap.SearchResult
	err := p.c.within(ctx, conn, "search of an entry", func(context.Context) (err error) {
		found, err = conn.Search(request)
		return err
	})
	if result, ok := resultOf(err); ok {
		switch result.Code {
		case ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral:
			return false, nil
		}
	}
	if err != nil || len(found.Entries) != 1 {
		return false, err
	}
	id := attrEntryUUID
	if p.vendor == Vendor389 {
		id = attrNSUniqueID
	}
	return isUUID(found.Entries[0].GetEqualFoldAttributeValues(id), e.UUID), nil
}

// isUUID tells whether the value is the UUID in the form of RFC 4530, or in that of
// nsUniqueId: 487236c2-e56811f1-9bfefb65-b6519f5b.
func isUUID(values []string, id UUID) bool {
	return len(values) == 1 && strings.EqualFold(strings.ReplaceAll(values[0], "-", ""), hex.EncodeToString(id[:]))
}
