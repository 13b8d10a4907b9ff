package wire

import (
	"fmt"
	"io"
	"net"
)

const (
	oidStartTLS      = "1.3.6.1.4.1.1466.20037"
	startTLSID       = 1
	maxStartTLSReply = 64 << 10
)

// StartTLS asks for TLS (RFC 4511, section 4.14) on a connection that nothing was sent
// on before, and returns the server's result: after code 0 the TLS handshake has to
// follow. It has no time limit; closing nc ends it.
//
// Not one octet more than the answer is read. What somebody on the way put behind it
// meets the handshake, and is not taken for something that TLS protected.
func StartTLS(nc net.Conn) (*Result, error) {
	if _, err := nc.Write(encodeStartTLS(startTLSID)); err != nil {
		return nil, err
	}
	for {
		frame, err := nextFrame(nc, maxStartTLSReply)
		if err != nil {
			return nil, err
		}
		id, body, err := messageID(frame)
		if err != nil {
			return nil, err
		}
		switch id {
		case 0:
			notice, err := decodeUnsolicited(body)
			if err != nil {
				return nil, err
			}
			if notice != nil {
				return nil, notice
			}
		case startTLSID:
			op, err := body.enter(tagExtended, "ExtendedResponse")
			if err != nil {
				return nil, err
			}
			result := new(Result)
			if err := decodeResult(&op, result); err != nil {
				return nil, err
			}
			if err := op.rest("ExtendedResponse"); err != nil {
				return nil, err
			}
			return result, nil
		default:
			return nil, body.fail("messageID", fmt.Sprintf("%d, in answer to request %d", id, startTLSID))
		}
	}
}

// nextFrame reads one message of at most limit octets and nothing of what follows it.
func nextFrame(r io.Reader, limit int) ([]byte, error) {
	frame := make([]byte, 0, 64)
	for {
		n, err := frameLength(frame, limit)
		if err != nil {
			return nil, err
		}
		want := 1 // octet of the header
		if n > 0 {
			if want = n - len(frame); want == 0 {
				return frame, nil
			}
		}
		have := len(frame)
		frame = append(frame, make([]byte, want)...)
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			if err == io.EOF && have > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

func encodeStartTLS(id int) []byte {
	const (
		tagExtendedRequest = 0x77
		tagRequestName     = 0x80
	)
	op := appendElement(nil, tagRequestName, []byte(oidStartTLS))
	return appendElement(nil, tagSequence,
		appendElement(appendInt(nil, tagInteger, id), tagExtendedRequest, op))
}
