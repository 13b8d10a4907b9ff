package wire

import "fmt"

// Done is the result that ends a search, with its Sync Done control if it has one.
// Its cookie is in the [Message].
type Done struct {
	Result
	// SyncDone tells whether there is a Sync Done control.
	SyncDone bool
	// RefreshDeletes is the control's field of that name.
	RefreshDeletes bool
}

// Result is an LDAPResult (RFC 4511, section 4.1.9).
type Result struct {
	Code       int
	MatchedDN  string
	Diagnostic string
	Referrals  []string
}

// NoticeError is the server's notice that it ends the connection (RFC 4511, section
// 4.4.1).
type NoticeError struct{ Result }

// Error returns the server's words.
func (e *NoticeError) Error() string {
	return fmt.Sprintf("the server ended the connection: result %d: %s", e.Code, e.Diagnostic)
}

const oidDisconnection = "1.3.6.1.4.1.1466.20036"

// decodeDone reads the SearchResultDone and its Sync Done control (RFC 4533, section
// 2.4).
func decodeDone(body cursor, m *Message) error {
	m.Kind, m.Done = KindDone, &Done{}
	op, err := body.enter(tagSearchDone, "SearchResultDone")
	if err != nil {
		return err
	}
	if err := decodeResult(&op, &m.Done.Result); err != nil {
		return err
	}
	if err := op.rest("SearchResultDone"); err != nil {
		return err
	}
	return eachControl(body, func(oid []byte, value cursor) (err error) {
		if string(oid) != oidSyncDone {
			return nil
		}
		if m.Done.SyncDone {
			return value.fail("controls", "two Sync Done controls")
		}
		m.Done.SyncDone = true
		seq, err := value.enter(tagSequence, "syncDoneValue")
		if err != nil {
			return err
		}
		if m.Cookie, err = optionalCookie(&seq); err != nil {
			return err
		}
		if seq.peek() == tagBoolean {
			if m.Done.RefreshDeletes, err = seq.boolean("refreshDeletes"); err != nil {
				return err
			}
		}
		if err := seq.rest("syncDoneValue"); err != nil {
			return err
		}
		return end(value, "syncDoneValue")
	})
}

// decodeResult reads the components of an LDAPResult and leaves what follows them.
func decodeResult(op *cursor, r *Result) (err error) {
	if r.Code, err = op.integer(tagEnumerated, "resultCode"); err != nil {
		return err
	}
	matched, err := op.octets(tagOctetString, "matchedDN")
	if err != nil {
		return err
	}
	diagnostic, err := op.octets(tagOctetString, "diagnosticMessage")
	if err != nil {
		return err
	}
	r.MatchedDN, r.Diagnostic = string(matched), string(diagnostic)
	if op.peek() != tagReferral {
		return nil
	}
	referral, err := op.enter(tagReferral, "referral")
	if err != nil {
		return err
	}
	for !referral.empty() {
		uri, err := referral.octets(tagOctetString, "referral")
		if err != nil {
			return err
		}
		r.Referrals = append(r.Referrals, string(uri))
	}
	return nil
}

// decodeUnsolicited reads a message with the message ID 0 and returns the notice if
// it is one of disconnection. Others are to be ignored (RFC 4511, section 4.4).
func decodeUnsolicited(body cursor) (*NoticeError, error) {
	op, err := body.enter(tagExtended, "unsolicited notification")
	if err != nil {
		return nil, err
	}
	notice := &NoticeError{}
	if err := decodeResult(&op, &notice.Result); err != nil {
		return nil, err
	}
	if op.peek() != tagExtendedName {
		return nil, op.rest("unsolicited notification")
	}
	name, err := op.octets(tagExtendedName, "responseName")
	if err != nil {
		return nil, err
	}
	if err := op.rest("unsolicited notification"); err != nil {
		return nil, err
	}
	if string(name) != oidDisconnection {
		return nil, nil
	}
	return notice, nil
}
