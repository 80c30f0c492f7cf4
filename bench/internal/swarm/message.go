package swarm

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Message is what the benchmarks publish: {"n":N,"t":At,"pad":"…"}.
type Message struct {
	N  int           // from 0, per topic
	At time.Duration // when it was meant to be sent, since the load process's epoch
}

// Topic writes and reads the messages of one topic. Any goroutine may use it.
type Topic struct {
	name   string
	prefix []byte // of a delivery up to the number
	ack    []byte // of an acknowledgement up to the message id
}

var (
	atField   = []byte(`,"t":`)
	idField   = []byte(`"messageId":"`)
	fieldTail = []byte(`,"pad":"`)
	ackTail   = []byte(`"}]`)
)

// NewTopic returns the topic of that name, which must need no escapes in JSON.
func NewTopic(name string) Topic {
	return Topic{
		name:   name,
		prefix: fmt.Appendf(nil, `42%s,["%s",{"n":`, Namespace, name),
		ack:    fmt.Appendf(nil, `42%s,["ack",{"topic":"%s","messageId":"`, Namespace, name),
	}
}

// Name is the topic's name.
func (t Topic) Name() string { return t.name }

// AppendPublish appends the event by which a client publishes m with a payload of size bytes, or the few more that the
// numbers need.
func (t Topic) AppendPublish(dst []byte, m Message, size int) []byte {
	dst = fmt.Appendf(dst, `42%s,["publish",{"topic":"%s","payload":`, Namespace, t.name)
	payload := len(dst)
	dst = fmt.Appendf(dst, `{"n":%d`, m.N)
	dst = append(dst, atField...)
	dst = strconv.AppendInt(dst, int64(m.At), 10)
	dst = append(dst, fieldTail...)
	for len(dst)-payload < size-2 {
		dst = append(dst, 'x')
	}
	return append(dst, `"}}]`...)
}

// Parse reads the numbers of a delivery; false for anything else.
func (t Topic) Parse(text []byte) (Message, bool) {
	rest, ok := bytes.CutPrefix(text, t.prefix)
	if !ok {
		return Message{}, false
	}
	n, rest, ok := number(rest)
	if !ok {
		return Message{}, false
	}
	rest, ok = bytes.CutPrefix(rest, atField)
	if !ok {
		return Message{}, false
	}
	at, _, ok := number(rest)
	return Message{N: n, At: time.Duration(at)}, ok
}

// number reads the decimal digits b begins with; false if there are none.
func number(b []byte) (n int, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + int(b[i]-'0')
	}
	return n, b[i:], i > 0
}

// AppendAck appends the event that acknowledges a delivery of a reliable topic; false if it carries no message id. The
// id is searched from the end: metadata is the last argument.
func (t Topic) AppendAck(dst, delivery []byte) ([]byte, bool) {
	i := bytes.LastIndex(delivery, idField)
	if i < 0 {
		return dst, false
	}
	id, _, ok := bytes.Cut(delivery[i+len(idField):], []byte{'"'})
	if !ok {
		return dst, false
	}
	dst = append(append(dst, t.ack...), id...)
	return append(dst, ackTail...), true
}
