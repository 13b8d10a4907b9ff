package listener

// BER returns the content octets of an RFC 4511 PartialAttributeList with the entry's
// attributes: what [EntryFromBER] takes.
func (e *Entry) BER() string { return string(e.AppendBER(nil)) }

// AppendBER appends what [Entry.BER] returns to b.
func (e *Entry) AppendBER(b []byte) []byte {
	for i := range e.attrs {
		a := &e.attrs[i]
		b = appendHeader(b, tagSequence, sizeTLV(len(a.name))+sizeTLV(len(a.values.ber)))
		b = appendTLV(b, tagOctetString, a.name)
		b = appendTLV(b, tagSet, a.values.ber)
	}
	return b
}
