package wire

// The modes of a sync request (RFC 4533, section 2.2).
const (
	ModeRefreshOnly       = 1
	ModeRefreshAndPersist = 3
)

const (
	oidSyncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
	oidManageDsaIT = "2.16.840.1.113730.3.4.2"
)

// SearchRequest is a sync search. Aliases are not dereferenced, and referral objects
// come as entries (RFC 3296).
type SearchRequest struct {
	Base string
	// Scope is 0 for the base, 1 for one level, 2 for the subtree.
	Scope int
	// Filter in BER (RFC 4511, section 4.5.1).
	Filter     []byte
	Attributes []string
	// Mode is ModeRefreshOnly or ModeRefreshAndPersist.
	Mode int
	// Cookie to resume from; empty for none.
	Cookie []byte
}

// encode returns the LDAP message.
func (r *SearchRequest) encode(id int) []byte {
	var sync []byte
	sync = appendInt(sync, tagEnumerated, r.Mode)
	if len(r.Cookie) > 0 {
		sync = appendElement(sync, tagOctetString, r.Cookie)
	}
	var request []byte
	request = appendString(request, oidSyncRequest)
	request = appendBool(request, true) // critical
	request = appendElement(request, tagOctetString, appendElement(nil, tagSequence, sync))
	controls := appendElement(nil, tagSequence, request)
	controls = appendElement(controls, tagSequence, appendString(nil, oidManageDsaIT))

	var attributes []byte
	for _, a := range r.Attributes {
		attributes = appendString(attributes, a)
	}
	var op []byte
	op = appendString(op, r.Base)
	op = appendInt(op, tagEnumerated, r.Scope)
	op = appendInt(op, tagEnumerated, 0) // neverDerefAliases
	op = appendInt(op, tagInteger, 0)    // no size limit
	op = appendInt(op, tagInteger, 0)    // no time limit
	op = appendBool(op, false)           // types and values
	op = append(op, r.Filter...)
	op = appendElement(op, tagSequence, attributes)

	const tagSearchRequest = 0x63
	message := appendInt(nil, tagInteger, id)
	message = appendElement(message, tagSearchRequest, op)
	message = appendElement(message, tagControls, controls)
	return appendElement(nil, tagSequence, message)
}

// encodeAbandon returns the request id to abandon the request target.
func encodeAbandon(id, target int) []byte {
	const tagAbandonRequest = 0x50
	return appendElement(nil, tagSequence,
		appendInt(appendInt(nil, tagInteger, id), tagAbandonRequest, target))
}

// encodeUnbind returns the request that ends a connection.
func encodeUnbind(id int) []byte {
	const tagUnbindRequest = 0x42
	return appendElement(nil, tagSequence,
		appendElement(appendInt(nil, tagInteger, id), tagUnbindRequest, nil))
}

func appendElement(b []byte, tag byte, content []byte) []byte {
	n := len(content)
	b = append(b, tag)
	switch {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 1<<8:
		b = append(b, 0x81, byte(n))
	case n < 1<<16:
		b = append(b, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		b = append(b, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, content...)
}

func appendString(b []byte, s string) []byte {
	return appendElement(b, tagOctetString, []byte(s))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, tagBoolean, 1, 0xff)
	}
	return append(b, tagBoolean, 1, 0)
}

// appendInt appends a number that is not negative.
func appendInt(b []byte, tag byte, v int) []byte {
	var octets [9]byte
	i := len(octets)
	for {
		i--
		octets[i] = byte(v)
		v >>= 8
		if v == 0 && octets[i] < 0x80 {
			break
		}
	}
	return appendElement(b, tag, octets[i:])
}
