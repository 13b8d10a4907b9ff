package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What is sent of a log entry at most.
const (
	maxMessage = 64 << 10
	maxFields  = 512 << 10
)

// logCore sends log entries to the daemon. Fields travel as a JSON object.
type logCore struct {
	zapcore.LevelEnabler
	fields zapcore.Encoder
	send   func(kind byte, content func([]byte) []byte)
}

var _ zapcore.Core = (*logCore)(nil)

func newLogCore(level zapcore.Level, send func(byte, func([]byte) []byte)) *logCore {
	return &logCore{level, zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		EncodeTime: zapcore.RFC3339NanoTimeEncoder, EncodeDuration: zapcore.StringDurationEncoder, SkipLineEnding: true,
	}), send}
}

// With implements [zapcore.Core].
func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	clone := &logCore{c.LevelEnabler, c.fields.Clone(), c.send}
	for _, f := range fields {
		f.AddTo(clone.fields)
	}
	return clone
}

// Check implements [zapcore.Core].
func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements [zapcore.Core].
func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	encoded, err := c.fields.EncodeEntry(zapcore.Entry{}, fields)
	if err != nil {
		return err
	}
	defer encoded.Free()
	text := encoded.Bytes()
	if len(text) > maxFields {
		text = fmt.Appendf(nil, `{"fields_too_long":%d}`, len(text))
	}
	c.send(frameLog, func(b []byte) []byte {
		b = append(b, byte(e.Level))
		b = binary.AppendUvarint(b, uint64(max(e.Time.UnixNano(), 0)))
		b = appendText(b, shortened(e.LoggerName, 200))
		b = appendText(b, shortened(e.Message, maxMessage))
		return appendText(b, text)
	})
	return nil
}

// Sync implements [zapcore.Core].
func (c *logCore) Sync() error { return nil }

// replayLog logs what a worker's handler has logged.
func (p *Pool) replayLog(content string) error {
	f := fields{rest: content}
	level := zapcore.InvalidLevel
	if b := f.take(1); b != "" {
		level = zapcore.Level(int8(b[0]))
	}
	at, name, message, text := f.int(math.MaxInt64), f.text(), f.text(), f.text()
	if level < zapcore.DebugLevel || level > zapcore.FatalLevel {
		f.fail()
	}
	decoded, err := fieldsOf(text)
	if err != nil {
		f.fail()
	}
	if err := f.end("log entry"); err != nil {
		return err
	}
	if level > zapcore.ErrorLevel { // it is not for the daemon to panic
		decoded = append(decoded, zap.Stringer("worker_level", level))
		level = zapcore.ErrorLevel
	}
	log := p.Log
	if name != "" {
		log = log.Named(name)
	}
	if entry := log.Check(level, message); entry != nil {
		entry.Time = time.Unix(0, int64(at))
		entry.Write(decoded...)
	}
	return nil
}

// fieldsOf returns the members of a JSON object in their order.
func fieldsOf(text string) ([]zap.Field, error) {
	if text == "{}" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errProtocol
	}
	var out []zap.Field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errProtocol
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errProtocol
		}
		key, _ := name.(string)
		var plain string
		if value[0] == '"' && json.Unmarshal(value, &plain) == nil {
			out = append(out, zap.String(key, plain))
		} else {
			out = append(out, zap.Reflect(key, value))
		}
	}
	if _, err := d.Token(); err != nil || d.More() {
		return nil, errProtocol
	}
	return out, nil
}
