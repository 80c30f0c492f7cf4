package weir

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Binary is bytes that go out as a binary part wherever they stand in an argument:
// in a struct, a typed slice, behind a pointer. ([]byte itself is a binary part as
// an argument and inside map[string]any and []any; elsewhere encoding/json makes it
// a base64 string.) Received binary parts decode into it.
type Binary = args.Binary

// encodeArgs is args.Encode with an error for the caller to read.
func encodeArgs(values []any) (raw, attachments [][]byte, err error) {
	if raw, attachments, err = args.Encode(values); err != nil {
		return nil, nil, &Error{Code: base.CodeInvalid, Reason: err.Error(), Cause: err}
	}
	return raw, attachments, nil
}

// marshal is encoding/json as JSON.stringify would have it.
func marshal(v any) ([]byte, error) { return args.Marshal(v) }

// rawJSON is JSON as an argument that goes out verbatim.
func rawJSON(b []byte) json.RawMessage { return b }

// eventFrame encodes an event.
func eventFrame(namespace, event string, values []any) (*base.Frame, error) {
	e, err := encodeEvent(namespace, event, values, nil)
	return e.Frame, err
}

// encodeEvent encodes an event; with an ask it is a question.
func encodeEvent(namespace, event string, values []any, a *ask) (delivery.Emission, error) {
	if sio.Reserved(event) {
		return delivery.Emission{}, Errorf(ErrInvalid, fmt.Sprintf("event %q belongs to the protocol", event))
	}
	raw, attachments, err := encodeArgs(values)
	if err != nil {
		return delivery.Emission{}, err
	}
	h := sio.EventHeader{Namespace: namespace, Attachments: len(attachments)}
	e := delivery.Emission{}
	if len(raw) > 0 {
		e.First = raw[0]
	}
	if a != nil {
		h.ID, h.HasID = a.id, true
		e.AckID, e.Acks = a.id, a
	}
	all := append([][]byte{sio.AppendString(nil, event)}, raw...)
	e.Frame = base.NewFrame(size(all)+len(namespace)+32, func(dst []byte) []byte {
		return sio.AppendEvent(dst, h, all...)
	}, attachments...)
	return e, nil
}

// ackFrame encodes the answer to an event that asked for one.
func ackFrame(namespace string, id uint64, values []any) (*base.Frame, error) {
	raw, attachments, err := encodeArgs(values)
	if err != nil {
		return nil, err
	}
	h := sio.EventHeader{Namespace: namespace, ID: id, HasID: true, Attachments: len(attachments)}
	return base.NewFrame(size(raw)+len(namespace)+32, func(dst []byte) []byte {
		return sio.AppendAck(dst, h, raw...)
	}, attachments...), nil
}

func size(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p) + 1
	}
	return n
}

// Args are the arguments of an event or an answer, as the client wrote them.
type Args struct {
	raw         []byte // the JSON array
	skip        int    // leading elements that are not arguments: the event's name
	attachments [][]byte
}

// JSON returns the arguments as raw JSON, byte for byte, attachments as
// placeholder objects.
func (a *Args) JSON() []json.RawMessage {
	if len(a.raw) == 0 {
		return nil
	}
	parts := sio.SplitArgs(a.raw, nil)
	out := make([]json.RawMessage, 0, len(parts)-a.skip)
	for _, p := range parts[a.skip:] {
		out = append(out, p)
	}
	return out
}

// Attachments returns the binary parts in the order of their placeholders.
func (a *Args) Attachments() [][]byte { return a.attachments }

// Len is the number of arguments.
func (a *Args) Len() int { return len(a.JSON()) }

// Decode decodes the arguments into the given pointers by encoding/json, in
// order; binary parts decode into []byte, wherever they stand. Arguments beyond
// the pointers are ignored; a pointer without an argument is left as it is.
func (a *Args) Decode(into ...any) error {
	raw := a.raw
	if len(a.attachments) > 0 {
		var err error
		if raw, err = sio.Inline(nil, a.raw, a.attachments); err != nil {
			return Errorf(ErrInvalid, err.Error())
		}
	}
	whole := Args{raw: raw, skip: a.skip}
	for i, arg := range whole.JSON() {
		if i >= len(into) {
			return nil
		}
		if into[i] == nil {
			continue
		}
		if err := json.Unmarshal(arg, into[i]); err != nil {
			return &Error{Code: base.CodeInvalid, Reason: fmt.Sprintf("argument %d: %v", i, err), Cause: err}
		}
	}
	return nil
}

// Values decodes the arguments into plain values: maps, slices, strings,
// json.Number, booleans, nil, and []byte for binary parts. What Values returns can
// be emitted again unchanged.
func (a *Args) Values() ([]any, error) {
	out := make([]any, 0, 4)
	for i, arg := range a.JSON() {
		d := json.NewDecoder(bytes.NewReader(arg))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, Errorf(ErrInvalid, fmt.Sprintf("argument %d: %v", i, err))
		}
		out = append(out, a.fill(v))
	}
	return out, nil
}

// fill puts attachments where their placeholders are.
func (a *Args) fill(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["_placeholder"] == true {
			if n, ok := v["num"].(json.Number); ok {
				if i, err := n.Int64(); err == nil && i >= 0 && int(i) < len(a.attachments) {
					return a.attachments[i]
				}
			}
		}
		for k, x := range v {
			v[k] = a.fill(x)
		}
	case []any:
		for i, x := range v {
			v[i] = a.fill(x)
		}
	}
	return v
}
