package syncrepl

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// Position is how far a provider was at a moment: which changes it had. [Consumer.Position]
// makes one.
type Position struct {
	c      *Consumer
	uri    string
	csns   []string // of OpenLDAP, one for each server that it has changes of
	number uint64   // of 389 DS, the last change in its changelog
}

// Position asks a provider, on a connection of its own, how far it is. The URI is one of
// those in the Config.
//
// OpenLDAP tells in contextCSN, an attribute of the entry at the top of its database; 389
// DS in lastChangeNumber, of the root DSE. A provider that tells neither has a position all
// the same; see Reached.
func (c *Consumer) Position(ctx context.Context, uri string) (*Position, error) {
	conn, err := c.connect(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	p := &Position{c: c, uri: uri}
	read := func(dn string, attributes ...string) (*ldap.Entry, error) {
		var found *ldap.SearchResult
		err := c.within(ctx, conn, "search of "+strconv.Quote(dn), func(context.Context) (err error) {
			found, err = conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
				"(objectClass=*)", attributes, []ldap.Control{ldap.NewControlManageDsaIT(true)}))
			return err
		})
		if _, answered := resultOf(err); answered || err == nil && len(found.Entries) != 1 {
			return &ldap.Entry{}, nil // it keeps that to itself
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", uri, err)
		}
		return found.Entries[0], nil
	}
	dse, err := read("", "namingContexts", "lastChangeNumber")
	if err != nil {
		return nil, err
	}
	p.number, _ = strconv.ParseUint(dse.GetEqualFoldAttributeValue("lastChangeNumber"), 10, 64)
	top, err := read(topOf(c.cfg.Base, dse.GetEqualFoldAttributeValues("namingContexts")), "contextCSN")
	if err != nil {
		return nil, err
	}
	for _, csn := range top.GetEqualFoldAttributeValues("contextCSN") {
		if isCSN(csn) {
			p.csns = append(p.csns, csn)
		}
	}
	return p, nil
}

// topOf returns the naming context that a DN is in; the DN if there is none.
func topOf(dn string, contexts []string) string {
	name, err := ldap.ParseDN(dn)
	if err != nil {
		return dn
	}
	top, depth := dn, -1
	for _, context := range contexts {
		above, err := ldap.ParseDN(context)
		if err == nil && len(above.RDNs) > depth && (above.EqualFold(name) || above.AncestorOfFold(name)) {
			top, depth = context, len(above.RDNs)
		}
	}
	return top
}

// Reached tells whether one who has stored the cookie has all the changes that the provider
// had at the position.
//
// For OpenLDAP, the cookie must not be older for any server. For 389 DS, its number must
// not be lower. Changes outside of the search do not move a cookie of 389 DS, and those of
// other providers say nothing: then the provider is asked for what is new since the cookie,
// by a refresh without effect, and if there is nothing the position is reached.
func (p *Position) Reached(ctx context.Context, cookie []byte) (bool, error) {
	if len(cookie) == 0 {
		return false, nil
	}
	if known, ok := parseOpenLDAPCookie(cookie); ok && len(p.csns) > 0 {
		return !slices.ContainsFunc(p.csns, func(csn string) bool {
			return !slices.ContainsFunc(known.csns, func(have string) bool { return sid(have) == sid(csn) && have >= csn })
		}), nil
	}
	if p.number > 0 {
		number, err := strconv.ParseUint(string(cookie[bytes.LastIndexByte(cookie, '#')+1:]), 10, 64)
		if err == nil && number >= p.number {
			return true, nil
		}
	}
	return p.nothingNew(ctx, cookie)
}

// nothingNew tells whether a refresh from the cookie brings nothing.
func (p *Position) nothingNew(ctx context.Context, cookie []byte) (bool, error) {
	l, err := p.c.open(ctx, p.uri)
	if err != nil {
		return false, err
	}
	defer l.close()
	request := p.c.request(cookie)
	request.Mode = wire.ModeRefreshOnly
	if err := l.wire.Search(request); err != nil {
		return false, fmt.Errorf("%s: %w", p.uri, connectionError(err))
	}
	for {
		k, err := l.wire.Next(ctx)
		if err != nil {
			return false, fmt.Errorf("%s: %w", p.uri, connectionError(err))
		}
		for i := range k.Messages {
			m := &k.Messages[i]
			switch {
			case m.Kind == wire.KindEntry && m.State != wire.StatePresent, m.Kind == wire.KindInfo && m.Info.RefreshDeletes && m.Info.Count > 0:
				k.Release()
				return false, nil
			case m.Kind == wire.KindDone:
				code := m.Done.Code
				k.Release()
				return code == ldap.LDAPResultSuccess, nil // else the session has to begin anew
			}
		}
		k.Release()
	}
}
