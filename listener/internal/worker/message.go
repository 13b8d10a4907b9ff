package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// version of the protocol. The two sides are of one program, so only the same will do.
const version = 1

// The types of frames.
const (
	frameHello = 1 + iota
	frameCall
	frameCancel
	frameAnswer
	frameNames
	frameBye
)

const (
	frameReady = 65 + iota
	frameRefused
	frameResult
	frameLog
	frameAsk
	frameClosed
)

// hello is what a worker is told first.
type hello struct {
	version  int
	module   string
	timeout  time.Duration // of a call; 0: none
	memory   uint64        // limit in bytes; 0: none
	logLevel int8
	setup    string
}

func (h *hello) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(h.version))
	b = appendText(b, h.module)
	b = binary.AppendUvarint(b, uint64(h.timeout))
	b = binary.AppendUvarint(b, h.memory)
	b = append(b, byte(h.logLevel))
	return appendText(b, h.setup)
}

func parseHello(content string) (h hello, err error) {
	f := fields{rest: content}
	if h.version = f.int(math.MaxInt32); h.version != version && !f.bad {
		return h, fmt.Errorf("the daemon speaks version %d of the protocol, this program %d: it was replaced while the daemon runs; restart the daemon", h.version, version)
	}
	h.module = f.text()
	h.timeout = time.Duration(f.int(math.MaxInt64))
	h.memory = f.uint()
	if level := f.take(1); level != "" {
		h.logLevel = int8(level[0])
	}
	h.setup = f.text()
	return h, f.end("hello")
}

// kinds and causes of calls have numbers in frames: their places here.
var (
	kinds = []listener.Kind{
		listener.KindCreate, listener.KindModify, listener.KindRemove,
		listener.KindInitialize, listener.KindClean, listener.KindPreRun, listener.KindPostRun,
	}
	causes = []listener.Cause{"", listener.CauseLive, listener.CauseInitialize, listener.CauseResync, listener.CauseReconcile}
)

// steps are the kinds that a handler need not have.
var steps = kinds[3:]

// nameTables is how many tables of attribute names the two sides have in common.
const nameTables = 2

// names are the tables that a worker was sent. The daemon says which one an entry has.
type names [nameTables]*listener.AttributeNames

// place returns where the table is, 1 for the first; 0 if there is none.
func (n *names) place(table *listener.AttributeNames) int {
	if table == nil {
		return 0
	}
	return 1 + slices.Index(n[:], table)
}

// appendNames appends a frame of type names unless the worker has the table. keep is
// one that has to stay.
func (n *names) appendNames(b []byte, table, keep *listener.AttributeNames) ([]byte, error) {
	if table == nil || slices.Contains(n[:], table) {
		return b, nil
	}
	place := 0
	if n[0] == keep && keep != nil {
		place = 1
	}
	n[place] = table
	start := len(b)
	b = append(b, 0, 0, 0, 0, frameNames)
	b = binary.AppendUvarint(b, uint64(place))
	types := table.Types()
	b = binary.AppendUvarint(b, uint64(len(types)))
	for _, t := range types {
		operational := byte(0)
		if t.Operational {
			operational = 1
		}
		b = append(b, operational)
		b = binary.AppendUvarint(b, uint64(len(t.Names)))
		for _, name := range t.Names {
			b = appendText(b, name)
		}
	}
	return b, end(b, start)
}

// receive takes a frame of type names.
func (n *names) receive(content string) error {
	f := fields{rest: content}
	place := f.int(nameTables - 1)
	types := make([]listener.AttributeType, 0, min(f.int(math.MaxInt32), len(f.rest)))
	for f.rest != "" && !f.bad {
		t := listener.AttributeType{Operational: f.take(1) == "\x01"}
		for range f.int(len(f.rest)) {
			t.Names = append(t.Names, f.text())
		}
		types = append(types, t)
	}
	if err := f.end("names"); err != nil {
		return err
	}
	n[place] = listener.NewAttributeNames(types)
	return nil
}

// appendCall appends the frames that make a call.
func (n *names) appendCall(b []byte, id uint64, c *listener.Call) (_ []byte, err error) {
	b = b[:0]
	var oldNames, newNames *listener.AttributeNames
	if c.Old != nil {
		oldNames = c.Old.Names()
	}
	if c.New != nil {
		newNames = c.New.Names()
	}
	if b, err = n.appendNames(b, oldNames, newNames); err != nil {
		return b, err
	}
	if b, err = n.appendNames(b, newNames, oldNames); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0, frameCall)
	b = binary.AppendUvarint(b, id)
	b = binary.AppendUvarint(b, uint64(slices.Index(kinds, c.Kind)))
	b = binary.AppendUvarint(b, uint64(slices.Index(causes, c.Cause)))
	b = binary.AppendUvarint(b, c.Seq)
	b = binary.AppendUvarint(b, uint64(c.Attempt))
	for _, e := range []*listener.Entry{c.Old, c.New} {
		if e == nil {
			b = append(b, 0)
			continue
		}
		b = append(b, 1, byte(n.place(e.Names())))
		uuid := e.UUID()
		b = append(b, uuid[:]...)
		b = appendText(b, e.DN())
		// The length comes first: it is appended once it is known.
		at := len(b)
		b = append(b, make([]byte, 4)...)
		b = e.AppendBER(b)
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b, end(b, start)
}

// parseCall returns a call; its entries refer to content.
func (n *names) parseCall(content string) (id uint64, c *listener.Call, err error) {
	f := fields{rest: content}
	id = f.uint()
	c = &listener.Call{Kind: kinds[f.int(len(kinds)-1)], Cause: causes[f.int(len(causes)-1)], Seq: f.uint(), Attempt: f.int(math.MaxInt32)}
	for _, e := range []**listener.Entry{&c.Old, &c.New} {
		if *e, err = n.parseEntry(&f); err != nil {
			return 0, nil, err
		}
	}
	// What the kind of call has no entry for must not have one.
	old, new := c.Kind == listener.KindModify || c.Kind == listener.KindRemove, c.Kind == listener.KindCreate || c.Kind == listener.KindModify
	if (c.Old != nil) != old || (c.New != nil) != new {
		f.fail()
	}
	return id, c, f.end("call")
}

func (n *names) parseEntry(f *fields) (*listener.Entry, error) {
	if f.take(1) != "\x01" {
		return nil, nil
	}
	table := f.int(nameTables)
	var uuid listener.UUID
	copy(uuid[:], f.take(len(uuid)))
	dn := f.text()
	size := uint32(0)
	if head := f.take(4); head != "" {
		size = binary.BigEndian.Uint32([]byte(head))
	}
	if uint64(size) > uint64(len(f.rest)) {
		f.fail()
	}
	e, err := listener.EntryFromBER(uuid, dn, f.take(int(size)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	if table > 0 {
		e = e.WithNames(n[table-1])
	}
	return e, nil
}

// What is sent of an error at most.
const (
	maxErrorText = 8 << 10
	maxStack     = 32 << 10
)

// The classes of errors, as bits.
const (
	classFailed = 1 << iota
	classPermanent
	classRetry
	classPanic
)

// appendResult appends what came of a call.
func appendResult(b []byte, id uint64, err error) []byte {
	b = binary.AppendUvarint(b, id)
	if err == nil {
		return append(b, 0)
	}
	class := byte(classFailed)
	if errors.Is(err, listener.ErrPermanent) {
		class |= classPermanent
	}
	delay, retry := listener.RetryDelay(err)
	if retry {
		class |= classRetry
	}
	stack := []byte(nil)
	text := err.Error()
	if p, ok := errors.AsType[*dispatch.PanicError](err); ok {
		class |= classPanic
		text, stack = fmt.Sprint(p.Value), p.Stack[:min(len(p.Stack), maxStack)]
	}
	b = append(b, class)
	b = binary.AppendUvarint(b, uint64(delay))
	b = appendText(b, shortened(text, maxErrorText))
	return appendText(b, stack)
}

// parseResult returns the error that the call has to return.
func parseResult(content string) (id uint64, result, err error) {
	f := fields{rest: content}
	id = f.uint()
	class := f.take(1)
	if class == "\x00" || class == "" {
		return id, nil, f.end("result")
	}
	delay, text, stack := time.Duration(f.int(math.MaxInt64)), f.text(), f.text()
	if err := f.end("result"); err != nil {
		return 0, nil, err
	}
	result = errors.New(text)
	if class[0]&classPanic != 0 {
		result = &dispatch.PanicError{Value: text, Stack: []byte(stack)}
	}
	if class[0]&classRetry != 0 {
		result = listener.RetryAfter(delay, result)
	}
	if class[0]&classPermanent != 0 {
		result = listener.Permanent(result)
	}
	return id, result, nil
}

// appendCancel appends why a call's context has ended.
func appendCancel(b []byte, id uint64, cause error) []byte {
	b = binary.AppendUvarint(b, id)
	if errors.Is(cause, listener.ErrStopping) {
		return append(b, 1)
	}
	return appendText(append(b, 0), shortened(cause.Error(), maxErrorText))
}

func parseCancel(content string) (id uint64, cause, err error) {
	f := fields{rest: content}
	id = f.uint()
	if f.take(1) == "\x01" {
		return id, listener.ErrStopping, f.end("cancel")
	}
	cause = errors.New(f.text())
	return id, cause, f.end("cancel")
}

// shortened cuts a text that is longer than limit.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + " ..."
}
