package delivery

import (
	"reflect"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/kept"
)

// keptShare is the part of the memory budget that the values of all topics may take
// together. What does not fit is not kept: it is delivered like any other.
const keptShare = 8

// keptFigures are what the topics of one declaration keep for who subscribes later.
type keptFigures struct {
	values, bytes atomic.Int64
	evicted       atomic.Uint64
}

// KeptFigures is what the topics of one declaration keep for who subscribes later.
type KeptFigures struct {
	Values, Bytes int64
	Evicted       uint64 // gave way to the limits, or were too large for them
}

// Kept returns the declaration's figures. Any goroutine may call it.
func (d *Declared) Kept() KeptFigures {
	return KeptFigures{d.kept.values.Load(), d.kept.bytes.Load(), d.kept.evicted.Load()}
}

// Subscribers is how many subscriptions there are. Any goroutine may call it.
func (d *Declared) Subscribers() int64 { return d.present.Load() }

// byKey reports whether the topic has a value for each key.
func (d *Declared) byKey() bool { return d.Spec.Policy.Overflow == base.Coalesce }

// keepsLocked reports whether publications are kept.
func (t *Topic) keepsLocked() bool {
	return t.kept != nil || (t.Declared.Spec.Snapshot && t.Declared.Spec.Keep.Keys > 0)
}

// beginKeepingLocked keeps what is published from now on.
func (t *Topic) beginKeepingLocked() {
	t.kept = kept.New(t.Declared.Spec.Keep, t.Declared.byKey())
	if !t.Declared.Spec.Snapshot && t.last.Offset > 0 {
		t.kept.Missed(t.last.Offset)
	}
}

// keepLocked makes m the newest value, of its key under COALESCE. It reports whether
// m then is the value of a key.
func (t *Topic) keepLocked(m *base.Message) (stands bool) {
	d := t.Declared
	if t.kept == nil {
		t.beginKeepingLocked()
	}
	var took bool
	t.changeKeptLocked(func(v *kept.Values) {
		if took = d.Namespace.hub.mayKeep(kept.Size(m) - v.Replaces(m)); !took {
			v.Omit(m)
			return
		}
		took = v.Put(m)
	})
	return took && m.Key != "" && d.byKey()
}

// mayKeep reports whether so much more may be kept; it may always be less.
func (h *Hub) mayKeep(more int) bool {
	limit := h.budget.Limit()
	return limit == 0 || more <= 0 || h.budget.Of(budget.Kept)+int64(more) <= limit/keptShare
}

// changeKeptLocked runs f on the values and accounts for what it has changed.
func (t *Topic) changeKeptLocked(f func(*kept.Values)) {
	v, h, d := t.kept, t.Declared.Namespace.hub, t.Declared
	n, held, evicted := v.Len(), v.Held(), v.Evicted()
	f(v)
	if n = v.Len() - n; n != 0 {
		d.kept.values.Add(int64(n))
	}
	if held = v.Held() - held; held != 0 {
		d.kept.bytes.Add(int64(held))
		h.Hold(budget.Kept, held)
	}
	if now := v.Evicted(); now > evicted {
		d.kept.evicted.Add(now - evicted)
	}
}

// dropKeptLocked forgets the values of a topic that is forgotten itself.
func (t *Topic) dropKeptLocked() {
	if t.kept != nil {
		t.changeKeptLocked((*kept.Values).Drop)
		t.kept = nil
	}
}

// How much a sweep looks at for values whose time to live has passed: so many topics
// of a namespace, and so many values of each.
const (
	fadeTopics = 64
	fadeValues = 64
)

// fade forgets values that are too old to be sent.
func (n *Namespace) fade(now int64) {
	n.live.RLock()
	defer n.live.RUnlock()
	most := fadeTopics
	for _, t := range n.byName {
		if most--; most < 0 {
			return
		}
		t.fade(now, fadeValues)
	}
}

func (t *Topic) fade(now int64, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != nil {
		t.changeKeptLocked(func(v *kept.Values) { v.Expire(now, most) })
	}
}

// Presence is who subscribes to one concrete topic.
type Presence struct {
	Topic       string
	Subscribers int64
}

// Presence returns the concrete topics of a declaration that have subscribers. Any
// goroutine may call it; it looks at every topic of the namespace, some at a time, as
// loops may wait for the lock. Those made or forgotten meanwhile may be left out.
func (d *Declared) Presence() (list []Presence) {
	n := d.Namespace
	var all reflect.MapIter // a range over a map that pauses
	all.Reset(reflect.ValueOf(n.byName))
	for more := true; more; {
		list, more = n.present(d, &all, list)
	}
	return list
}

// presenceSlice is how many topics are looked at while the lock is held.
const presenceSlice = 512

func (n *Namespace) present(d *Declared, all *reflect.MapIter, list []Presence) (_ []Presence, more bool) {
	n.live.RLock()
	defer n.live.RUnlock()
	for range presenceSlice {
		if !all.Next() {
			return list, false
		}
		t := all.Value().Interface().(*Topic)
		if s := t.subscribers.Load(); t.Declared == d && s > 0 {
			list = append(list, Presence{t.Name, s})
		}
	}
	return list, true
}
