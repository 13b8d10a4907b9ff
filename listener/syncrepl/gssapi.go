package syncrepl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// securityContext is the initiator's side of one SASL GSSAPI exchange. The one that
// comes with go-ldap takes only the wrap tokens of Active Directory, which have their
// checksum first, and not those of MIT Kerberos, which OpenLDAP and 389 DS use.
type securityContext struct {
	client *client.Client

	begun  bool
	key    types.EncryptionKey // of the session
	subkey types.EncryptionKey // what the acceptor replaced it by, if it did
	asked  types.Authenticator // what the acceptor's answer has to repeat
}

var _ ldap.GSSAPIClient = (*securityContext)(nil)

// InitSecContext implements [ldap.GSSAPIClient].
func (c *securityContext) InitSecContext(target string, token []byte) ([]byte, bool, error) {
	return c.InitSecContextWithOptions(target, token, nil)
}

// InitSecContextWithOptions returns the first token, and takes the acceptor's answer.
func (c *securityContext) InitSecContextWithOptions(target string, token []byte, options []int) ([]byte, bool, error) {
	if len(token) > 0 {
		return []byte{}, false, c.accept(token)
	}
	if c.begun {
		return nil, false, errors.New("GSSAPI: the provider did not authenticate itself")
	}
	c.begun = true
	ticket, key, err := c.client.GetServiceTicket(target)
	if err != nil {
		return nil, false, err
	}
	c.key = key
	request, err := spnego.NewKRB5TokenAPREQ(c.client, ticket, key,
		[]int{gssapi.ContextFlagInteg, gssapi.ContextFlagConf, gssapi.ContextFlagMutual},
		append(slices.Clip(options), flags.APOptionMutualRequired))
	if err != nil {
		return nil, false, err
	}
	if err := request.APReq.DecryptAuthenticator(key); err != nil {
		return nil, false, err
	}
	c.asked = request.APReq.Authenticator
	first, err := request.Marshal()
	return first, true, err
}

// accept checks the acceptor's answer: only who has the service's key can give it.
func (c *securityContext) accept(token []byte) error {
	var answer spnego.KRB5Token
	if err := answer.Unmarshal(token); err != nil {
		return fmt.Errorf("GSSAPI: %w", err)
	}
	switch {
	case answer.IsKRBError():
		return fmt.Errorf("GSSAPI: the provider refused the ticket: %w", answer.KRBError)
	case !answer.IsAPRep():
		return errors.New("GSSAPI: the provider's answer is none to a ticket")
	}
	plain, err := crypto.DecryptEncPart(answer.APRep.EncPart, c.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return fmt.Errorf("GSSAPI: %w", err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return fmt.Errorf("GSSAPI: %w", err)
	}
	if part.CTime.Unix() != c.asked.CTime.Unix() || part.Cusec != c.asked.Cusec {
		return errors.New("GSSAPI: the provider's answer is that to another request")
	}
	c.subkey = part.Subkey
	return nil
}

// The parts of a wrap token (RFC 4121, section 4.2.6.2).
const (
	wrapFromAcceptor   = 1 << 0
	wrapSealed         = 1 << 1
	wrapAcceptorSubkey = 1 << 2
)

// noSecurityLayer is the layer of RFC 4752, section 3.1, that we ask for.
const noSecurityLayer = 1

// NegotiateSaslAuth answers the acceptor's offer of security layers: none.
func (c *securityContext) NegotiateSaslAuth(token []byte, authzID string) ([]byte, error) {
	offer, err := unrotate(token)
	if err != nil {
		return nil, fmt.Errorf("GSSAPI: %w", err)
	}
	var wrapped gssapi.WrapToken
	if err := wrapped.Unmarshal(offer, true); err != nil {
		return nil, fmt.Errorf("GSSAPI: %w", err)
	}
	if wrapped.Flags&wrapSealed != 0 {
		return nil, errors.New("GSSAPI: the offer of security layers is encrypted")
	}
	key, own := c.key, byte(0)
	if wrapped.Flags&wrapAcceptorSubkey != 0 {
		key, own = c.subkey, wrapAcceptorSubkey
	}
	if _, err := wrapped.Verify(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		return nil, fmt.Errorf("GSSAPI: %w", err)
	}
	if len(wrapped.Payload) != 4 {
		return nil, fmt.Errorf("GSSAPI: an offer of security layers of %d octets", len(wrapped.Payload))
	}
	if wrapped.Payload[0]&noSecurityLayer == 0 {
		return nil, errors.New("GSSAPI: the provider insists on a security layer of SASL (OpenLDAP: sasl-secprops minssf); use TLS in its place")
	}
	kind, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, fmt.Errorf("GSSAPI: %w", err)
	}
	choice := gssapi.WrapToken{
		Flags:     own,
		EC:        uint16(kind.GetHMACBitLength() / 8),
		SndSeqNum: uint64(c.asked.SeqNumber),
		Payload:   append([]byte{noSecurityLayer, 0, 0, 0}, authzID...),
	}
	if err := choice.SetCheckSum(key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		return nil, fmt.Errorf("GSSAPI: %w", err)
	}
	return choice.Marshal()
}

// unrotate returns a wrap token with its payload before its checksum (RFC 4121,
// section 4.2.5).
func unrotate(token []byte) ([]byte, error) {
	if len(token) < gssapi.HdrLen {
		return nil, fmt.Errorf("a wrap token of %d octets", len(token))
	}
	header, body := token[:gssapi.HdrLen], token[gssapi.HdrLen:]
	if len(body) == 0 {
		return token, nil
	}
	by := int(binary.BigEndian.Uint16(header[6:])) % len(body)
	return slices.Concat(header, body[by:], body[:by]), nil
}

// DeleteSecContext forgets the keys.
func (c *securityContext) DeleteSecContext() error {
	c.key, c.subkey = types.EncryptionKey{}, types.EncryptionKey{}
	return nil
}
