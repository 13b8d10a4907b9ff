package listener

// BER returns the content octets of an RFC 4511 PartialAttributeList with the entry's
// attributes: what [EntryFromBER] takes.
func (e *Entry) BER() string {
	var list, content []byte
	for i := range e.attrs {
		a := &e.attrs[i]
		content = appendTLV(content[:0], tagOctetString, a.name)
		content = appendTLV(content, tagSet, a.values.ber)
		list = appendTLV(list, tagSequence, string(content))
	}
	return string(list)
}
