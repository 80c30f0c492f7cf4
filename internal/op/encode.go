package op

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// The tags of an operation's fields. They never change their meaning.
const (
	tagNamespace byte = iota + 1
	tagSocket
	tagPrincipal
	tagIn
	tagExcept
	tagTopic
	tagAddress
	tagWait
	tagData
	tagAttachments
	tagRooms
	tagCause
	tagReason
	tagFlags
	tagToken
)

// The flags of an operation.
const (
	flagVolatile = 1 << iota
	flagVerbatim
	flagDescribe
	flagTransport

	allFlags = flagTransport<<1 - 1
)

func (o *Op) flags() (n uint64) {
	for i, on := range []bool{o.Event.Volatile, o.Event.Verbatim, o.Describe, o.Transport} {
		if on {
			n |= 1 << i
		}
	}
	return n
}

// Append appends the encoded operation. Errors: ErrInvalid, ErrTooLarge.
func Append(dst []byte, o *Op) ([]byte, error) {
	if err := o.Valid(); err != nil {
		return dst, err
	}
	w := &writer{b: dst}
	w.head(byte(o.Kind))
	w.text(tagNamespace, o.Namespace)
	w.text(tagSocket, o.Target.Socket)
	w.text(tagPrincipal, o.Target.Principal)
	list(w, tagIn, o.Target.Rooms)
	list(w, tagExcept, some(o.Target.Except))
	w.text(tagTopic, o.Only.Topic)
	w.text(tagAddress, o.Only.Address)
	w.number(tagWait, uint64(o.Wait))
	w.bytes(tagData, o.Event.Data)
	list(w, tagAttachments, some(o.Event.Attachments))
	list(w, tagRooms, some(o.Rooms))
	if o.Kind == Disconnect {
		w.text(tagCause, o.Cause.String())
	}
	w.text(tagReason, o.Reason)
	w.number(tagFlags, o.flags())
	w.text(tagToken, o.Only.Token)
	return w.end(dst)
}

// end returns what was appended to dst, or dst as it was.
func (w *writer) end(dst []byte) ([]byte, error) {
	if w.err == nil && len(w.b)-len(dst) > MaxLen {
		w.err = fmt.Errorf("%w: %d bytes", ErrTooLarge, len(w.b)-len(dst))
	}
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// Parse decodes what Append has encoded. The event's data and attachments are views into b. It
// takes memory in proportion to b. Errors: ErrMalformed, ErrNotUnderstood, ErrTooLarge, ErrInvalid.
func Parse(b []byte) (*Op, error) {
	r := &reader{b: b}
	o := &Op{Kind: Kind(r.head())}
	if r.err == nil && (o.Kind == 0 || int(o.Kind) >= kinds) {
		r.fail(ErrNotUnderstood, "kind %d", o.Kind)
	}
	o.Namespace = r.text(tagNamespace)
	o.Target.Socket = r.text(tagSocket)
	o.Target.Principal = r.text(tagPrincipal)
	o.Target.Rooms = r.texts(tagIn, true)
	o.Target.Except = r.texts(tagExcept, false)
	o.Only.Topic = r.text(tagTopic)
	o.Only.Address = r.text(tagAddress)
	o.Wait = time.Duration(r.number(tagWait, math.MaxInt64))
	o.Event.Data = r.bytes(tagData)
	o.Event.Attachments = r.items(tagAttachments, false)
	o.Rooms = r.texts(tagRooms, false)
	if name := r.text(tagCause); name != "" {
		cause, ok := base.CauseNamed(name)
		if o.Cause = cause; !ok || o.Kind != Disconnect {
			r.fail(ErrNotUnderstood, "%s for %q", o.Kind, name)
		}
	}
	o.Reason = r.text(tagReason)
	flags := r.number(tagFlags, allFlags)
	o.Event.Volatile, o.Event.Verbatim = flags&flagVolatile != 0, flags&flagVerbatim != 0
	o.Describe, o.Transport = flags&flagDescribe != 0, flags&flagTransport != 0
	o.Only.Token = r.text(tagToken)
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := o.Valid(); err != nil {
		return nil, err
	}
	return o, nil
}

// The tags of an outcome's fields, of a description's and of an answer's.
const (
	tagDone byte = iota + 1
	tagSkipped
	tagShort
	tagSockets
	tagAnswers
	tagPartial
	tagQueued
	tagCoalesced
	tagDropped
	tagRejected
)

const (
	tagID byte = iota + 1
	tagWho
	tagFrom
	tagInside
)

const (
	tagAnswerOf byte = iota + 1
	tagArgs
	tagParts
	tagCode
	tagWhy
)

// AppendOutcome appends the encoded outcome of an operation of that kind. Errors: ErrInvalid,
// ErrTooLarge.
func AppendOutcome(dst []byte, k Kind, o *Outcome) ([]byte, error) {
	l := &o.Met
	if k == 0 || int(k) >= kinds || min(o.Done, o.Skipped, o.Short, l.Queued, l.Coalesced, l.Dropped, l.Rejected) < 0 {
		return dst, fmt.Errorf("%w: outcome of %s: %d done, %d skipped, %d short", ErrInvalid, k, o.Done, o.Skipped, o.Short)
	}
	w := &writer{b: dst}
	w.head(byte(k))
	w.number(tagDone, uint64(o.Done))
	w.number(tagSkipped, uint64(o.Skipped))
	w.number(tagShort, uint64(o.Short))
	sockets, answers := make([][]byte, len(o.Sockets)), make([][]byte, len(o.Answers))
	for i := range o.Sockets {
		s, in := &o.Sockets[i], &writer{}
		in.text(tagID, s.ID)
		in.text(tagWho, s.Principal)
		in.text(tagFrom, s.Address)
		list(in, tagInside, some(s.Rooms))
		sockets[i] = w.nested(in)
	}
	for i := range o.Answers {
		a, in := &o.Answers[i], &writer{}
		in.text(tagAnswerOf, a.Socket)
		in.bytes(tagArgs, a.Args)
		list(in, tagParts, some(a.Attachments))
		in.text(tagCode, a.Code)
		in.text(tagWhy, a.Reason)
		answers[i] = w.nested(in)
	}
	list(w, tagSockets, some(sockets))
	list(w, tagAnswers, some(answers))
	if o.Partial {
		w.number(tagPartial, 1)
	}
	w.number(tagQueued, uint64(l.Queued))
	w.number(tagCoalesced, uint64(l.Coalesced))
	w.number(tagDropped, uint64(l.Dropped))
	w.number(tagRejected, uint64(l.Rejected))
	return w.end(dst)
}

// AppendPart is AppendOutcome for an outcome that may have only so many bytes: sockets and answers that do not fit are left
// out, and the outcome is partial. ErrTooLarge says that its counts do not fit.
func AppendPart(dst []byte, k Kind, o *Outcome, most int) ([]byte, error) {
	part := *o
	for {
		out, err := AppendOutcome(dst, k, &part)
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return dst, err
		}
		if err == nil && len(out)-len(dst) <= most {
			return out, nil
		}
		if len(part.Sockets)+len(part.Answers) == 0 {
			return dst, fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, len(out)-len(dst), most)
		}
		part.Partial = true
		part.Sockets = part.Sockets[:len(part.Sockets)/2]
		part.Answers = part.Answers[:len(part.Answers)/2]
	}
}

// nested is what another writer has written.
func (w *writer) nested(in *writer) []byte {
	if w.err == nil {
		w.err = in.err
	}
	return in.b
}

// ParseOutcome decodes what AppendOutcome has encoded. Arguments and attachments are views into b.
// It takes memory in proportion to b. Errors: ErrMalformed, ErrNotUnderstood, ErrTooLarge.
func ParseOutcome(b []byte) (Kind, *Outcome, error) {
	r := &reader{b: b}
	k, o := Kind(r.head()), &Outcome{}
	if r.err == nil && (k == 0 || int(k) >= kinds) {
		r.fail(ErrNotUnderstood, "kind %d", k)
	}
	o.Done = int(r.number(tagDone, math.MaxInt))
	o.Skipped = int(r.number(tagSkipped, math.MaxInt))
	o.Short = int(r.number(tagShort, math.MaxInt))
	for _, item := range r.items(tagSockets, false) {
		in := &reader{b: item, err: r.err}
		o.Sockets = append(o.Sockets, Description{
			ID: in.text(tagID), Principal: in.text(tagWho), Address: in.text(tagFrom), Rooms: in.texts(tagInside, false),
		})
		r.err = in.end()
	}
	for _, item := range r.items(tagAnswers, false) {
		in := &reader{b: item, err: r.err}
		o.Answers = append(o.Answers, Answer{
			Socket: in.text(tagAnswerOf), Args: in.bytes(tagArgs), Attachments: in.items(tagParts, false), Code: in.text(tagCode), Reason: in.text(tagWhy),
		})
		r.err = in.end()
	}
	o.Partial = r.number(tagPartial, 1) != 0
	o.Met.Queued = int(r.number(tagQueued, math.MaxInt))
	o.Met.Coalesced = int(r.number(tagCoalesced, math.MaxInt))
	o.Met.Dropped = int(r.number(tagDropped, math.MaxInt))
	o.Met.Rejected = int(r.number(tagRejected, math.MaxInt))
	if err := r.end(); err != nil {
		return 0, nil, err
	}
	return k, o, nil
}
