package syncrepl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// A refresh of 389 DS from a cookie reads its changelog, and is not as complete as it
// says:
//
//   - What was trimmed from the changelog is left out.
//   - Deletes come in sets of 50, and each delete after a full set is left out.
//   - An entry that was modified and matches the filter no more is left out, and so is
//     one that was moved from the first level below the base to a deeper one.
//   - Entries come with all their user attributes and no operational ones, whatever was
//     asked for.
//
// So a session drops a cookie that is older than the changelog, and one whose refresh
// brought a full set of deletes; with any filter or scope but the default it loads
// everything; and it reads the entries that a refresh brings a second time. The persist
// stage and the full load need none of that.

// ErrRefreshIncomplete is returned when a refresh from the cookie leaves changes out,
// although the provider (389 DS) does not say so.
var ErrRefreshIncomplete = errors.New("the refresh leaves changes out")

// deleteSet is the number of deletes after which 389 DS forgets one.
const deleteSet = 50

// checkChangelog looks at what a 389 DS makes of the cookie before it is sent.
func (s *session) checkChangelog(ctx context.Context) error {
	if s.Vendor != Vendor389 || len(s.cookie) == 0 {
		return nil
	}
	if !strings.EqualFold(s.c.cfg.Filter, DefaultFilter) || s.c.cfg.Scope != ScopeSub {
		s.cookie = nil
		return nil
	}
	if bytes.IndexByte(s.cookie, 0) >= 0 { // to this it would give no answer at all
		return &resetError{err: fmt.Errorf("%s: %w", s.URI, ErrCookieUnknown)}
	}
	number := s.cookie[bytes.LastIndexByte(s.cookie, '#')+1:]
	known, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return nil // it will say what it thinks of such a cookie
	}
	var found *ldap.SearchResult
	err = s.c.within(ctx, s.link.wire, "search of the root DSE", func(context.Context) (err error) {
		found, err = s.link.client.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{"firstChangeNumber"}, nil))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.URI, err)
	}
	if len(found.Entries) != 1 {
		return nil
	}
	first, err := strconv.ParseUint(found.Entries[0].GetEqualFoldAttributeValue("firstChangeNumber"), 10, 64)
	if err == nil && first > known+1 {
		return &resetError{err: fmt.Errorf("%s: %w: the changelog begins with change %d, the cookie is of change %d",
			s.URI, ErrRefreshIncomplete, first, known)}
	}
	return nil
}

// countDeletes notes whether a delete set of a 389 DS may not be all there is.
func (s *session) countDeletes(n int) {
	if s.Vendor == Vendor389 && !s.full && !s.persist && n >= deleteSet {
		s.lossy = fmt.Errorf("%s: %w: 389 DS loses deletes when there are more than %d", s.URI, ErrRefreshIncomplete, deleteSet)
	}
}

// complete replaces the attributes of an entry that a 389 DS sent in a refresh from a
// cookie by those that were asked for. An entry that is elsewhere by now stays as it is:
// the change that moved it is yet to come.
//
// The search runs on a connection of its own, since the answer would have to wait for
// the refresh on that of the session.
func (s *session) complete(ctx context.Context, e *Entry) (err error) {
	if s.Vendor != Vendor389 || s.full || s.persist {
		return nil
	}
	if s.reader == nil {
		if s.reader, err = s.c.connect(ctx, s.URI); err != nil {
			return err
		}
	}
	asked := s.c.cfg.Attributes
	request := ldap.NewSearchRequest(string(e.DN), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		DefaultFilter, append(slices.Clone(asked), attrNSUniqueID), []ldap.Control{ldap.NewControlManageDsaIT(true)})
	var found *ldap.SearchResult
	err = s.c.within(ctx, s.reader, "search of an entry", func(context.Context) (err error) {
		found, err = s.reader.Search(request)
		return err
	})
	if result, ok := resultOf(err); ok && result.Code == ldap.LDAPResultNoSuchObject {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: search of %s: %w", s.URI, e.DN, err)
	}
	if len(found.Entries) != 1 {
		return nil
	}
	keepID := slices.ContainsFunc(asked, func(a string) bool { return a == "+" || strings.EqualFold(a, attrNSUniqueID) })
	var attributes []byte
	for _, a := range found.Entries[0].Attributes {
		if strings.EqualFold(a.Name, attrNSUniqueID) {
			if !isUUID(a.Values, e.UUID) {
				return nil
			}
			if !keepID {
				continue
			}
		}
		attributes = appendAttribute(attributes, a.Name, a.ByteValues)
	}
	e.Attributes = attributes
	s.bytes += len(attributes)
	return nil
}

// closeReader ends the connection of complete.
func (s *session) closeReader() {
	if s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// appendAttribute appends a PartialAttribute (RFC 4511, section 4.1.7).
func appendAttribute(b []byte, name string, values [][]byte) []byte {
	const octetString, sequence, set = 0x04, 0x30, 0x31
	var content []byte
	for _, v := range values {
		content = appendElement(content, octetString, v)
	}
	content = appendElement(appendElement(nil, octetString, []byte(name)), set, content)
	return appendElement(b, sequence, content)
}

// appendElement appends an element in BER with the shortest length.
func appendElement(b []byte, tag byte, content []byte) []byte {
	b = append(b, tag)
	if n := len(content); n < 0x80 {
		b = append(b, byte(n))
	} else {
		octets := bytes.TrimLeft([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, "\x00")
		b = append(append(b, 0x80|byte(len(octets))), octets...)
	}
	return append(b, content...)
}
