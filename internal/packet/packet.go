// Package packet makes the frames of outgoing Socket.IO packets (protocol.md 2.1) from Go values, in every dialect that
// clients speak. What cannot be encoded is a *base.Error with CodeInvalid. It is pure.
package packet

import (
	"fmt"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// overhead is more than a packet has besides its namespace and its data.
const overhead = 32

// Event encodes an event with arguments as args.Encode takes them; h names the namespace, and the ack id if the
// client is to answer. first is the first argument as JSON, nil if there is none.
func Event(h sio.EventHeader, event string, values []any) (f *base.Frame, first []byte, err error) {
	if sio.Reserved(event) {
		return nil, nil, invalid(fmt.Errorf("event %q belongs to the protocol", event))
	}
	raw, attachments, err := args.Encode(values)
	if err != nil {
		return nil, nil, invalid(err)
	}
	if len(raw) > 0 {
		first = raw[0]
	}
	h.Attachments = len(attachments)
	all := append([][]byte{sio.AppendString(nil, event)}, raw...)
	f = NewFrame(size(all)+len(h.Namespace)+overhead, func(dst []byte) []byte {
		return sio.AppendEvent(dst, h, all...)
	}, attachments...)
	return f, first, nil
}

// Ack encodes the answer to an event that asked for one: h is its namespace and ack id.
func Ack(h sio.EventHeader, values []any) (*base.Frame, error) {
	array, err := args.EncodeArray(values)
	if err != nil {
		return nil, invalid(err)
	}
	defer array.Release()
	typ, raw := sio.Ack, array.JSON()
	if h.HasID, h.Attachments = true, len(array.Attachments()); h.Attachments > 0 {
		typ = sio.BinaryAck
	}
	return NewFrame(len(raw)+len(h.Namespace)+overhead, func(dst []byte) []byte {
		return append(sio.AppendHeader(dst, typ, h), raw...)
	}, array.Attachments()...), nil
}

// Connect encodes the answer to a CONNECT: the client is in, under that Socket.IO id.
func Connect(namespace, id string) *base.Frame {
	return NewFrame(len(namespace)+len(id)+overhead, func(dst []byte) []byte {
		return sio.AppendConnect(dst, namespace, id, "")
	})
}

// ConnectError encodes the refusal of a CONNECT; data is JSON or empty.
func ConnectError(namespace, message string, data []byte) *base.Frame {
	return NewFrame(len(namespace)+len(message)+len(data)+overhead, func(dst []byte) []byte {
		return sio.AppendConnectError(dst, namespace, message, data)
	})
}

// Disconnect encodes the last packet of a namespace.
func Disconnect(namespace string) *base.Frame {
	return NewFrame(len(namespace)+overhead, func(dst []byte) []byte { return sio.AppendDisconnect(dst, namespace) })
}

func invalid(err error) error {
	return &base.Error{Code: base.CodeInvalid, Reason: err.Error(), Cause: err}
}

// size is what parts take with a separator each.
func size(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p) + 1
	}
	return n
}
