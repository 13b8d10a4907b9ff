package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// startTLSAgainst returns what StartTLS makes of a server that answers like this and
// ends the connection, and what is left unread of the answer.
func startTLSAgainst(t testing.TB, answer []byte) (result *Result, rest []byte, err error) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	asked := make(chan []byte, 1)
	go func() {
		defer server.Close()
		request := make([]byte, 31)
		_, _ = io.ReadFull(server, request)
		asked <- request
		_, _ = server.Write(answer)
	}()
	result, err = StartTLS(client)
	rest, _ = io.ReadAll(client)
	want := append([]byte{0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22}, oidStartTLS...)
	if got := <-asked; !bytes.Equal(got, want) {
		t.Errorf("asked %x, want %x", got, want)
	}
	return result, rest, err
}

func extended(id, code int, more ...[]byte) []byte {
	op := appendInt(nil, tagEnumerated, code)
	op = appendString(appendString(op, ""), "words")
	for _, m := range more {
		op = append(op, m...)
	}
	return appendElement(nil, tagSequence, appendElement(appendInt(nil, tagInteger, id), tagExtended, op))
}

func TestStartTLS(t *testing.T) {
	notice := extended(0, 52, appendElement(nil, tagExtendedName, []byte(oidDisconnection)))
	other := extended(0, 0, appendElement(nil, tagExtendedName, []byte("1.2.3")))
	for name, test := range map[string]struct {
		answer []byte
		code   int
		err    error
		rest   string
	}{
		"Success":     {answer: extended(1, 0)},
		"Refused":     {answer: extended(1, 2), code: 2},
		"WithName":    {answer: extended(1, 0, appendElement(nil, tagExtendedName, []byte(oidStartTLS)))},
		"LongForm":    {answer: append([]byte{0x30, 0x84, 0, 0}, append([]byte{0, byte(len(extended(1, 0)) - 2)}, extended(1, 0)[2:]...)...)},
		"NothingMore": {answer: append(extended(1, 0), "rest"...), rest: "rest"},
		"OtherNotice": {answer: append(other, extended(1, 0)...)},
		"Notice":      {answer: notice, err: &NoticeError{}},
		"OtherID":     {answer: extended(2, 0), err: ErrProtocol},
		"NotLDAP":     {answer: []byte("HTTP/1.1 400 Bad Request"), err: ErrProtocol, rest: "TTP/1.1 400 Bad Request"},
		"NoExtended":  {answer: []byte{0x30, 12, 2, 1, 1, 0x61, 7, 10, 1, 0, 4, 0, 4, 0}, err: ErrProtocol},
		"TooLong":     {answer: []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, err: ErrProtocol},
		"End":         {err: io.EOF},
		"EndInside":   {answer: extended(1, 0)[:5], err: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			result, rest, err := startTLSAgainst(t, test.answer)
			switch want := test.err.(type) {
			case nil:
				if err != nil || result.Code != test.code || result.Diagnostic != "words" {
					t.Errorf("%+v, %v", result, err)
				}
			case *NoticeError:
				if !errors.As(err, &want) || want.Code != 52 {
					t.Errorf("error %v", err)
				}
			default:
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			if string(rest) != test.rest {
				t.Errorf("left %q, want %q", rest, test.rest)
			}
		})
	}
}

func FuzzStartTLS(f *testing.F) {
	f.Add(extended(1, 0))
	f.Add(append(extended(0, 52), extended(1, 2)...))
	for _, frame := range malformed() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		result, rest, err := startTLSAgainst(t, answer)
		if (result == nil) == (err == nil) {
			t.Errorf("%v and %v", result, err)
		}
		if !bytes.HasSuffix(answer, rest) {
			t.Errorf("%d octets of %d are left, and are others", len(rest), len(answer))
		}
	})
}

// What TLS reads in small pieces comes from the network in large ones, in bursts too.
func TestBuffer(t *testing.T) {
	client, server := tcpPair(t)
	want := make([]byte, 4<<20)
	for i := range want {
		want[i] = byte(i * i >> 8)
	}
	go func() {
		defer server.Close()
		for at := 0; at < len(want); at += 1 << 10 {
			if _, err := server.Write(want[at : at+1<<10]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	c := Buffer(Coalesce(client))
	var got []byte
	for piece := 1; ; piece = piece%5000 + 1 {
		buf := make([]byte, piece)
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d octets, or other ones", len(got))
	}
}
