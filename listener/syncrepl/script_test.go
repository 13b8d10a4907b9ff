package syncrepl

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// script plays a provider that does what no real one does. Each connection runs the
// next of its sessions, on one end of a pipe.
type script struct {
	t testing.TB

	// What the root DSE has.
	vendorName, vendorVersion string
	// bindResult is the result code of binds.
	bindResult atomic.Int64

	mu       sync.Mutex // guards what follows
	sessions []func(*peer)
	asked    []string // the cookies of the searches; "-" for none
	ended    sync.WaitGroup
}

// play returns a config for a provider that runs the sessions one after the other;
// further connections are refused.
func play(t testing.TB, sessions ...func(*peer)) (Config, *script) {
	s := &script{t: t, sessions: sessions}
	t.Cleanup(s.ended.Wait)
	return Config{URIs: []string{"ldap://script"}, Base: "dc=x", Dial: s.dial, ProbeInterval: -1}, s
}

func (s *script) dial(_ context.Context, uri string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) == 0 {
		return nil, errors.New("the script is over")
	}
	run := s.sessions[0]
	s.sessions = s.sessions[1:]
	if run == nil {
		return nil, errors.New("refused")
	}
	client, server := net.Pipe()
	s.ended.Go(func() {
		defer server.Close()
		p := &peer{script: s, conn: server, uri: uri, gone: make(chan struct{})}
		run(p)
	})
	return client, nil
}

// cookies returns the cookies of the searches so far.
func (s *script) cookies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// peer is the provider's end of a connection.
type peer struct {
	*script
	conn     net.Conn
	uri      string
	searchID int64
	mode     int64
	goodbye  []ber.Tag     // the requests after the search
	gone     chan struct{} // closed when the consumer has left
}

// search answers binds and the question for the root DSE until the sync search comes.
// It returns false when the consumer left before.
func (p *peer) search() bool {
	for {
		packet, err := ber.ReadPacket(p.conn)
		if err != nil {
			return false
		}
		id, op := packet.Children[0].Value.(int64), packet.Children[1]
		switch op.Tag {
		case 0: // bind
			p.write(tlv(0x30, num(0x02, int(id)), tlv(0x61, num(0x0a, int(p.bindResult.Load())), text(""), text(""))))
		case 3: // search
			if len(packet.Children) == 3 {
				p.searchID = id
				p.begin(packet.Children[2])
				go p.listen()
				return true
			}
			dse := tlv(0x30, text("vendorName"), tlv(0x31, text(p.vendorName)))
			dse = append(dse, tlv(0x30, text("vendorVersion"), tlv(0x31, text(p.vendorVersion)))...)
			p.write(tlv(0x30, num(0x02, int(id)), tlv(0x64, text(""), tlv(0x30, dse))))
			p.write(tlv(0x30, num(0x02, int(id)), tlv(0x65, num(0x0a, 0), text(""), text(""))))
		default: // unbind
			return false
		}
	}
}

// begin reads the Sync Request control, and checks for ManageDsaIT.
func (p *peer) begin(controls *ber.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	manage := false
	for _, c := range controls.Children {
		switch c.Children[0].Value {
		case "1.3.6.1.4.1.4203.1.9.1.1":
			value := ber.DecodePacket(c.Children[2].Data.Bytes())
			p.mode = value.Children[0].Value.(int64)
			cookie := "-"
			if len(value.Children) > 1 && value.Children[1].Tag == ber.TagOctetString {
				cookie = value.Children[1].Data.String()
			}
			p.asked = append(p.asked, cookie)
		case "2.16.840.1.113730.3.4.2":
			manage = true
		}
	}
	if !manage {
		p.t.Error("the search has no ManageDsaIT control")
	}
}

// listen reads what comes after the search.
func (p *peer) listen() {
	defer close(p.gone)
	for {
		packet, err := ber.ReadPacket(p.conn)
		if err != nil {
			return
		}
		p.goodbye = append(p.goodbye, packet.Children[1].Tag)
	}
}

// stay returns when the consumer has left.
func (p *peer) stay() { <-p.gone }

func (p *peer) write(b []byte) { _, _ = p.conn.Write(b) } // a consumer may leave at any time

// send sends responses to the search.
func (p *peer) send(responses ...[][]byte) {
	var out bytes.Buffer
	for _, r := range responses {
		out.Write(tlv(0x30, append([][]byte{num(0x02, int(p.searchID))}, r...)...))
	}
	p.write(out.Bytes())
}

// ending makes a session that sends the responses and ends the connection.
func ending(responses ...[][]byte) func(*peer) {
	return func(p *peer) {
		if p.search() {
			p.send(responses...)
		}
	}
}

// live makes a session that sends the responses and stays.
func live(responses ...[][]byte) func(*peer) {
	return func(p *peer) {
		if p.search() {
			p.send(responses...)
			p.stay()
		}
	}
}

// What a provider sends. A response is the protocolOp and perhaps the controls.

func tlv(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	b := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		b = append(b, byte(n))
	default:
		b = append(b, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, content...)
}

func text(s string) []byte { return tlv(0x04, []byte(s)) }

func num(tag byte, v int) []byte {
	if v < 0x80 {
		return tlv(tag, []byte{byte(v)})
	}
	return tlv(tag, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func flag(v bool) []byte {
	if v {
		return tlv(0x01, []byte{0xff})
	}
	return tlv(0x01, []byte{0})
}

func control(oid string, value []byte) []byte {
	return tlv(0xa0, tlv(0x30, text(oid), tlv(0x04, value)))
}

// id returns a UUID made of a number.
func id(n int) UUID { return UUID{14: byte(n >> 8), 15: byte(n)} }

func uuid(n int) []byte { u := id(n); return tlv(0x04, u[:]) }

// cookieIn returns the optional cookie of a message: none when it is empty.
func cookieIn(cookie []string) []byte {
	if len(cookie) == 0 {
		return nil
	}
	return text(cookie[0])
}

func state(n, s int, cookie ...string) []byte {
	return control("1.3.6.1.4.1.4203.1.9.1.2", tlv(0x30, num(0x0a, s), uuid(n), cookieIn(cookie)))
}

// entry n with a DN and an sn.
func entry(n, s int, dn, sn string, cookie ...string) [][]byte {
	return [][]byte{tlv(0x64, text(dn), tlv(0x30, tlv(0x30, text("sn"), tlv(0x31, text(sn))))), state(n, s, cookie...)}
}

func add(n int, dn string, cookie ...string) [][]byte { return entry(n, 1, dn, "Sample", cookie...) }

func modify(n int, dn, sn string, cookie ...string) [][]byte { return entry(n, 2, dn, sn, cookie...) }

// bare is an entry without attributes: present is state 0, delete 3.
func bare(n, s int, dn string, cookie ...string) [][]byte {
	return [][]byte{tlv(0x64, text(dn), tlv(0x30)), state(n, s, cookie...)}
}

func info(value []byte) [][]byte {
	return [][]byte{tlv(0x79, tlv(0x80, []byte("1.3.6.1.4.1.4203.1.9.1.4")), tlv(0x81, value))}
}

func newCookie(cookie string) [][]byte { return info(tlv(0x80, []byte(cookie))) }

func refreshDelete(done bool, cookie ...string) [][]byte {
	return info(tlv(0xa1, cookieIn(cookie), flag(done)))
}

func refreshPresent(done bool, cookie ...string) [][]byte {
	return info(tlv(0xa2, cookieIn(cookie), flag(done)))
}

func idSet(deletes bool, ns []int, cookie ...string) [][]byte {
	var ids []byte
	for _, n := range ns {
		ids = append(ids, uuid(n)...)
	}
	return info(tlv(0xa3, cookieIn(cookie), flag(deletes), tlv(0x31, ids)))
}

// done is the successful result with a Sync Done control.
func done(refreshDeletes bool, cookie ...string) [][]byte {
	return append(result(0), control("1.3.6.1.4.1.4203.1.9.1.3", tlv(0x30, cookieIn(cookie), flag(refreshDeletes))))
}

// result is one without a control.
func result(code int) [][]byte {
	return [][]byte{tlv(0x65, num(0x0a, code), text(""), text(""))}
}

// refreshRequired is result 4096, perhaps with a cookie.
func refreshRequired(cookie ...string) [][]byte {
	return append(result(4096), control("1.3.6.1.4.1.4203.1.9.1.3", tlv(0x30, cookieIn(cookie))))
}

// drain reads until the consumer has left.
func (p *peer) drain() {
	buf := make([]byte, 1000)
	for {
		if _, err := p.conn.Read(buf); err != nil {
			return
		}
	}
}
