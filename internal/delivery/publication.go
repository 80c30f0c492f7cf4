package delivery

import (
	"errors"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
)

// ErrTooLarge says that no lane of the topic could ever hold the message.
var ErrTooLarge = errors.New("message is larger than maxQueuedBytesPerClient")

// Publication is what a publisher hands in.
type Publication struct {
	Payload []byte // JSON, or with Binary any bytes; not kept: the caller may change it when Publish has returned
	Binary  bool
	Key     string        // coalescing key; "" = the topic's pointer decides
	ID      string        // idempotency key and message id; "" = made here
	TTL     time.Duration // 0 = the topic's
	Target  Target

	adopted bool // another node has counted it
}

// atMost is more than the frame of the publication has, in bytes, whatever its form.
func (p *Publication) atMost(t *Topic) int {
	const (
		escaped = 6 // bytes for one, at most
		named   = 2 // times that the topic and the namespace are
		rest    = 512
	)
	return len(p.Payload) + escaped*(named*(len(t.Name)+len(t.Declared.Namespace.Path))+len(p.ID)) + rest
}

// maxTTL is the longest time to live: beyond it a message is of any age.
const maxTTL = 10 * 365 * 24 * time.Hour

// expiry is when a message published now is too old; 0: never.
func expiry(now int64, ttl time.Duration) int64 {
	if ttl <= 0 || ttl > maxTTL {
		return 0
	}
	return now + int64(ttl)
}

// publication is a message made of what a publisher has handed in.
type publication struct {
	msg base.Message
	pub packet.Publication
}

// newPublication makes it, and tells how long its frame is at most in the form that most subscribers want.
func newPublication(t *Topic, p *Publication, now int64) (x *publication, most int) {
	d := t.Declared
	x = &publication{pub: packet.Publication{Payload: p.Payload, Binary: p.Binary, Reliable: d.Reliable()}}
	m := &x.msg
	m.Init(&x.pub)
	m.Namespace, m.Topic, m.ID, m.Key, m.At = d.Namespace.Path, t.Name, p.ID, p.Key, now
	if m.ID == "" {
		m.ID = d.Namespace.hub.newID()
	}
	if m.Key == "" && d.Spec.Key != nil && !p.Binary {
		m.Key = d.Spec.Key(p.Payload)
	}
	ttl := p.TTL
	if ttl == 0 {
		ttl = d.Spec.TTL
	}
	m.Expires = expiry(now, ttl)
	m.AckID = d.Namespace.NextAckID()
	// The publisher's goroutine pays for the form most subscribers want: for all of it now, or if it tells its position
	// for little more than that under the lock of the order. The payload is kept only inside that frame.
	form := d.form(d.Spec.Shape)
	if most = x.pub.Prepare(m, form, t.numbering()); !x.pub.Tells(form) {
		d.Namespace.prepare(m.Frame(form))
	}
	return x, most
}
