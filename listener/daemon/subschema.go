package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// subschema keeps the stored schema that of the provider: it reads the provider's when a
// session begins and from time to time, whole, since OpenLDAP dates its subschema entry
// with its own start and not with the last change.
type subschema struct {
	log      *zap.Logger
	base     string                                                     // of the search
	connect  func(ctx context.Context, uri string) (*ldap.Conn, error)  // bound
	learn    func(*schema.Schema, schema.Definitions) ([]string, error) // stores a schema
	stored   func() *schema.Schema
	settled  func() bool   // no refresh runs
	timeout  time.Duration // of a read
	interval time.Duration // from one read to the next; 0: only when a session begins

	mu       sync.Mutex // guards what follows, and keeps refreshes from beginning and transactions of the sink from running
	session  syncrepl.Session
	sessions int
	warned   string // why the schema could not be read, as the log has it
}

func (d *Daemon) newSubschema() *subschema {
	cfg := d.consumerConfig()
	return &subschema{
		log: d.log, base: d.config.LDAP.Base, timeout: d.config.LDAP.NetworkTimeout, interval: d.config.LDAP.ProbeInterval,
		connect: func(ctx context.Context, uri string) (*ldap.Conn, error) {
			one := cfg
			one.URIs = []string{uri}
			consumer, err := syncrepl.New(one)
			if err != nil {
				return nil, err
			}
			return consumer.Connect(ctx)
		},
		learn: func(s *schema.Schema, definitions schema.Definitions) ([]string, error) {
			changed, err := d.router.SetSchema(s, definitions)
			if err == nil {
				d.checkFilters()
			}
			return changed, err
		},
		stored:  d.store.Schema,
		settled: func() bool { return d.router.State().Phase == route.PhasePersist },
	}
}

// checkFilters warns of what in the modules' filters the provider's schema rules out: most
// often it is a typing error.
func (d *Daemon) checkFilters() {
	s := d.store.Schema()
	if s.Fallback() {
		return
	}
	for _, m := range d.config.Modules {
		f, err := filter.Compile(m.Spec.LDAPFilter, s)
		if err != nil {
			continue // New has checked it
		}
		for _, part := range f.Impossible() {
			d.log.Warn("a part of the filter is true of no entry", zap.String("module", m.Name), zap.String("part", part.Text), zap.String("reason", part.Why))
		}
	}
}

// begin reads the schema for a session that begins.
func (s *subschema) begin(ctx context.Context, session syncrepl.Session) error {
	d, readErr := s.read(ctx, session)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
	s.sessions++
	return s.take(d, readErr)
}

// watch reads the schema of the session's provider in every interval, until ctx ends. An
// error is one of the store.
func (s *subschema) watch(ctx context.Context) error {
	if s.interval == 0 {
		return nil
	}
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		session, number := s.session, s.sessions
		s.mu.Unlock()
		if number == 0 || !s.settled() {
			continue
		}
		d, readErr := s.read(ctx, session)
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		var err error
		if number == s.sessions && s.settled() {
			err = s.take(d, readErr)
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// take stores what was read, if it is new. mu is held.
func (s *subschema) take(d schema.Definitions, readErr error) error {
	current := s.stored()
	if readErr != nil {
		if text := readErr.Error(); text != s.warned {
			s.warned = text
			instead := "the one that was stored earlier"
			if current.Fallback() {
				instead = "a built-in one (core, cosine, inetOrgPerson, nis)"
			}
			s.log.Warn("the provider's schema cannot be read; filters go by "+instead, zap.Error(readErr))
		}
		return nil
	}
	s.warned = ""
	if !current.Fallback() && current.Hash() == d.Hash() {
		return nil
	}
	parsed, problems := schema.Parse(d)
	changed, err := s.learn(parsed, d)
	if err != nil {
		return err
	}
	s.log.Info("the provider's schema is stored", zap.String("provider", s.session.URI), zap.Int("attribute_types", len(d.AttributeTypes)),
		zap.Int("object_classes", len(d.ObjectClasses)), zap.Strings("modules_to_reconcile", changed))
	if len(problems) > 0 {
		s.log.Warn("some of the schema cannot be read and is left out", zap.Int("definitions", len(problems)), zap.Error(problems[0]))
	}
	return nil
}

// The attributes of the root DSE and of a subschema entry (RFC 4512, section 4.2).
const (
	attrSubschemaSubentry = "subschemaSubentry"
	attrAttributeTypes    = "attributeTypes"
	attrObjectClasses     = "objectClasses"
	attrMatchingRules     = "matchingRules"
	attrMatchingRuleUse   = "matchingRuleUse"
	attrSyntaxes          = "ldapSyntaxes"
)

// read reads the schema that governs the base of the search.
func (s *subschema) read(ctx context.Context, session syncrepl.Session) (d schema.Definitions, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no answer within %v", s.timeout))
	defer cancel()
	conn, err := s.connect(ctx, session.URI)
	if err != nil {
		return d, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", session.URI, err)
		}
	}()
	dn, err := subschemaOf(conn, s.base)
	if err != nil {
		return d, err
	}
	entry, err := lookUp(conn, dn, "(objectClass=subschema)", attrAttributeTypes, attrObjectClasses, attrMatchingRules, attrMatchingRuleUse, attrSyntaxes)
	if err != nil {
		return d, err
	}
	d = schema.Definitions{
		AttributeTypes: entry.GetEqualFoldAttributeValues(attrAttributeTypes), ObjectClasses: entry.GetEqualFoldAttributeValues(attrObjectClasses),
		MatchingRules: entry.GetEqualFoldAttributeValues(attrMatchingRules), MatchingRuleUse: entry.GetEqualFoldAttributeValues(attrMatchingRuleUse),
		Syntaxes: entry.GetEqualFoldAttributeValues(attrSyntaxes),
	}
	switch session.Vendor {
	case syncrepl.VendorOpenLDAP:
		d.Vendor = schema.OpenLDAP
	case syncrepl.Vendor389:
		d.Vendor = schema.Directory389
	}
	if len(d.AttributeTypes) == 0 {
		return d, fmt.Errorf("%s has no %s that may be read", dn, attrAttributeTypes)
	}
	return d, nil
}

// subschemaOf returns the name of the subschema entry: that which governs the base, else
// the one that the root DSE names.
func subschemaOf(conn *ldap.Conn, base string) (string, error) {
	var errs []error
	for _, dn := range slices.Compact([]string{base, ""}) {
		entry, err := lookUp(conn, dn, "(objectClass=*)", attrSubschemaSubentry)
		if err == nil {
			if subentry := entry.GetEqualFoldAttributeValue(attrSubschemaSubentry); subentry != "" {
				return subentry, nil
			}
			err = fmt.Errorf("%s has no %s that may be read", orRootDSE(dn), attrSubschemaSubentry)
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func lookUp(conn *ldap.Conn, dn, filter string, attributes ...string) (*ldap.Entry, error) {
	found, err := conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", orRootDSE(dn), err)
	case len(found.Entries) != 1:
		return nil, fmt.Errorf("read %s: it is not there, or may not be read", orRootDSE(dn))
	}
	return found.Entries[0], nil
}

func orRootDSE(dn string) string {
	if strings.TrimSpace(dn) == "" {
		return "the root DSE"
	}
	return dn
}
