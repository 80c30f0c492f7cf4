package packet

import (
	"errors"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Raw encodes an event whose name and arguments are JSON already: data is an array of them, with
// placeholders for the attachments. It returns the event's name and, as JSON, its first argument,
// nil if there is none. What is no event is a *base.Error with CodeInvalid.
func Raw(h sio.EventHeader, data []byte, attachments [][]byte) (f *base.Frame, event string, first []byte, err error) {
	typ := sio.Event
	if h.Attachments = len(attachments); h.Attachments > 0 {
		typ = sio.BinaryEvent
	}
	f = NewFrame(len(data)+len(h.Namespace)+overhead, func(dst []byte) []byte {
		return append(sio.AppendHeader(dst, typ, h), data...)
	}, attachments...)
	p, err := parse(f)
	if err != nil {
		return nil, "", nil, invalid(err)
	}
	args := sio.SplitArgs(p.Data, nil)
	if event, err = sio.EventName(args[0]); err != nil {
		return nil, "", nil, invalid(err)
	}
	if len(args) > 1 {
		first = args[1]
	}
	return f, event, first, nil
}

// Split is the reverse of Raw: the data and the attachments of an event's frame, which are views
// into it.
func Split(f *base.Frame) (data []byte, attachments [][]byte, err error) {
	p, err := parse(f)
	if err != nil {
		return nil, nil, invalid(err)
	}
	if p.Attachments > 0 {
		for _, part := range base.Parts(f.Wire()) {
			attachments = append(attachments, part)
		}
		attachments = attachments[1:] // the text comes first
	}
	return p.Data, attachments, nil
}

// parse reads the text of an event's frame.
func parse(f *base.Frame) (p sio.Packet, err error) {
	for _, text := range base.Parts(f.Wire()) {
		if p, err = sio.Parse(text[1:]); err == nil && p.Type != sio.Event && p.Type != sio.BinaryEvent {
			err = errors.New("the packet is a " + p.Type.String() + ", not an event")
		}
		return p, err
	}
	return p, errors.New("an empty frame")
}

// Refusal is how a client reads that something is refused, or that it is sent away: as the
// argument of weir:error, or as an answer (protocol.md 4).
type Refusal struct {
	OK     bool   `json:"ok"`
	Topic  string `json:"topic,omitempty"`
	Event  string `json:"event,omitempty"`
	Code   string `json:"code"`
	Reason string `json:"reason"`

	Path *string `json:"path,omitempty"` // of what breaks a schema, and the rule that it breaks
	Rule string  `json:"rule,omitempty"`

	Retryable bool `json:"retryable"`
}

// Refused is the event weir:error.
func Refused(namespace string, r *Refusal) (*base.Frame, error) {
	f, _, err := Event(sio.EventHeader{Namespace: namespace}, "weir:error", []any{r})
	return f, err
}
