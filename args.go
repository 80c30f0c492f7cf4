package weir

import (
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

// Args are the arguments of an event or an answer, as the client wrote them.
type Args = args.Args

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
