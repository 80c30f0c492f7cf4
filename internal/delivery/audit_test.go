package delivery_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/wire/sio"
)

// audit checks what one client read:
//
//   - its stream decodes into whole packets with their attachments, up to the one
//     that was under way when the connection ended; control frames stand between
//     packets only;
//   - a publication is delivered to a subscription only, after its answer and the
//     offset it began with, in order; repeats repeat what was sent within the window;
//   - events are in order by source, and what the loop sent is complete;
//   - nothing of a namespace follows its DISCONNECT.
func (w *world) audit(a *actor) {
	packets, rest := decode(w.t, a.wire)
	x := &auditor{world: w, who: a, subs: make(map[string]*heard), last: make(map[string]uint64), left: make(map[string]bool)}
	for i := range packets {
		for len(x.who.log) > 0 && x.who.log[0].at <= packets[i].at {
			x.happened(x.who.log[0])
			x.who.log = x.who.log[1:]
		}
		x.read(&packets[i])
	}
	for _, b := range a.batches {
		w.auditBatch(a, b)
	}
	if rest > 0 && !a.conn.Closed() {
		w.t.Errorf("seed %d: %d bytes of a packet at the end of an open stream", w.seed, rest)
	}
}

// auditBatch holds a write to its window: more only for one entry alone.
func (w *world) auditBatch(a *actor, b batch) {
	if b.taken == 0 || b.offered <= b.window+8 { // control frames come on top
		return
	}
	first, last := -1, -1
	packets, _ := decode(w.t, a.wire)
	for i := range packets {
		if !packets[i].control && packets[i].at >= b.at && packets[i].at < b.at+b.taken {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if last > first {
		w.t.Errorf("seed %d: a write of %d bytes into a window of %d held packets %d to %d", w.seed, b.offered, b.window, first, last)
	}
}

// auditor is the state of an audit.
type auditor struct {
	*world
	who  *actor
	subs map[string]*heard // by namespace and topic, while subscribed
	last map[string]uint64 // last seen of a source in a lane
	left map[string]bool   // namespaces whose DISCONNECT was read
}

// heard is what a subscription has delivered.
type heard struct {
	from  uint64
	last  uint64            // highest offset
	byKey map[string]uint64 // the same by key
	sent  []uint64          // first deliveries in order
	told  bool              // the answer to the subscribe was read
}

func (x *auditor) happened(m moment) {
	lane := m.namespace + " " + m.topic
	switch m.what {
	case 's':
		x.subs[lane] = &heard{from: m.from, byKey: make(map[string]uint64)}
	case 'u':
		delete(x.subs, lane)
	case 'l':
		for name := range x.subs {
			if strings.HasPrefix(name, m.namespace+" ") {
				delete(x.subs, name)
			}
		}
	}
}

func (x *auditor) fail(p *packet, format string, args ...any) {
	x.t.Helper()
	x.t.Errorf("seed %d: packet %.120q at %d: %s", x.seed, p.text, p.at, fmt.Sprintf(format, args...))
}

func (x *auditor) read(p *packet) {
	if p.control || p.Type == sio.ConnectError {
		return
	}
	namespace := string(p.Namespace)
	if p.Type == sio.Disconnect {
		x.left[namespace] = true
		return
	}
	d := parseDelivery(p)
	if x.left[namespace] && p.name() == "send" && d.Seq == 1 {
		delete(x.left, namespace) // joined again
	}
	switch {
	case x.left[namespace]:
		x.fail(p, "follows the DISCONNECT of its namespace")
	case p.name() == "weir:lost":
		x.readLoss(p)
	case d.Pub != 0:
		x.readPublication(p, d)
	default:
		x.readEvent(p, d.mark)
	}
}

func (x *auditor) readLoss(p *packet) {
	var n struct {
		Topic string
		Count int
	}
	if err := json.Unmarshal(p.args[1], &n); err != nil || n.Count < 1 {
		x.fail(p, "not a notice: %v", err)
	}
	if h := x.subs[string(p.Namespace)+" "+n.Topic]; h == nil || !h.told {
		x.fail(p, "a notice without a subscription, or before its answer")
	}
}

func (x *auditor) readPublication(p *packet, d arrived) {
	h := x.subs[string(p.Namespace)+" "+p.name()]
	offset, known := x.offsets[d.Pub]
	switch {
	case !known:
		x.fail(p, "nobody published it")
	case h == nil:
		x.fail(p, "delivered without a subscription")
	case offset <= h.from:
		x.fail(p, "offset %d was before the subscription at %d", offset, h.from)
	case !h.told:
		x.fail(p, "before the answer to the subscribe")
	case d.repeat:
		x.readRepeat(p, h, offset)
	default:
		x.readFirst(p, h, offset, x.keys[d.Pub])
	}
}

func (x *auditor) readFirst(p *packet, h *heard, offset uint64, key string) {
	before := h.last
	if p.name() == "prices" { // a newer price takes the place of the older one
		before = h.byKey[key]
	}
	if offset <= before {
		x.fail(p, "offset %d after %d", offset, before)
	}
	h.last, h.byKey[key] = max(h.last, offset), offset
	h.sent = append(h.sent, offset)
}

func (x *auditor) readRepeat(p *packet, h *heard, offset uint64) {
	i := slices.Index(h.sent, offset)
	if i < 0 {
		x.fail(p, "a repeat of what was not sent")
	} else if newer := len(h.sent) - 1 - i; newer >= maxInFlight {
		x.fail(p, "repeated after %d newer ones, the window is %d", newer, maxInFlight)
	}
}

// readEvent checks the order of one source in one lane. The loop's own packets
// are never dropped, so each namespace sees all of them, from 1 on after it joins.
func (x *auditor) readEvent(p *packet, m mark) {
	namespace := string(p.Namespace)
	lane := "events"
	if slices.Contains(worldTopics, p.name()) {
		lane = p.name()
	}
	source := fmt.Sprint(namespace, lane, m.Source)
	before := x.last[source]
	if x.last[source] = m.Seq; m.Source == 0 {
		if h := x.subs[namespace+" "+m.Key]; h != nil {
			h.told = true
		}
		if m.Seq != before+1 && m.Seq != 1 {
			x.fail(p, "the loop's packet %d follows %d", m.Seq, before)
		}
		return
	}
	if m.Seq <= before {
		x.fail(p, "event %d of source %d after %d", m.Seq, m.Source, before)
	}
	for _, part := range p.attachments {
		if string(part) != string(m.json()) {
			x.fail(p, "its attachment is another's: %q", part)
		}
	}
}

// arrived is a delivery as the client understands it.
type arrived struct {
	mark
	id     string // to be acknowledged
	repeat bool
}

func parseDelivery(p *packet) (d arrived) {
	if p.control || len(p.args) < 2 {
		return d
	}
	type metadata struct {
		MessageID   string
		AckRequired bool
		Redelivered bool
	}
	var meta metadata
	payload := p.args[1]
	var envelope struct {
		Metadata *metadata
		Payload  json.RawMessage
	}
	if json.Unmarshal(payload, &envelope) == nil && envelope.Metadata != nil {
		meta, payload = *envelope.Metadata, envelope.Payload
	} else if len(p.args) > 2 {
		_ = json.Unmarshal(p.args[2], &meta)
	}
	_ = json.Unmarshal(payload, &d.mark)
	if d.Source == 0 && d.Seq == 0 && len(p.attachments) == 1 && len(p.attachments[0]) >= 8 {
		d.Pub = binary.BigEndian.Uint64(p.attachments[0])
	}
	if meta.AckRequired {
		d.id = meta.MessageID
	}
	d.repeat = meta.Redelivered
	return d
}

// auditBooks checks that everything offered is accounted for and nothing is left.
func (w *world) auditBooks() {
	for _, path := range worldNamespaces {
		n := w.Namespace(path)
		w.auditTotals(path+" events", n.EventTotals(), false)
		for _, d := range n.Topics() {
			w.auditTotals(path+" "+d.Spec.Name, d.Totals(), d.Reliable())
		}
	}
	if n := w.Unbalanced.Load(); n != 0 {
		w.t.Errorf("seed %d: the books of %d lanes do not add up", w.seed, n)
	}
	if held := w.account(); held != 0 {
		w.t.Errorf("seed %d: %d bytes held for nobody", w.seed, held)
	}
	for _, sh := range w.Shards() {
		w.on(sh, func() {
			if left := sh.Residue(); left != nil {
				w.t.Errorf("seed %d: left behind: %v", w.seed, left)
			}
			if n := sh.TimersArmed(); n != 0 {
				w.t.Errorf("seed %d: %d timers armed for nobody", w.seed, n)
			}
			if s := sh.Stats(); s.Connections != 0 || s.Sockets != 0 || s.Subscriptions != 0 {
				w.t.Errorf("seed %d: statistics of nobody: %+v", w.seed, s)
			}
		})
	}
}

func (w *world) auditTotals(what string, t delivery.Totals, reliable bool) {
	done := t.Written
	if reliable {
		done = t.Acked
	}
	settled := done + t.Coalesced
	for _, n := range t.Dropped {
		settled += n
	}
	if t.Offered != settled || t.Queued != 0 || t.InFlight != 0 || t.Bytes != 0 || t.Held != 0 {
		w.t.Errorf("seed %d: %s: %d offered, %d settled: %+v", w.seed, what, t.Offered, settled, t)
	}
}
