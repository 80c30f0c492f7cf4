package kept

import (
	"maps"
	"sort"

	"github.com/streamweir/weir/internal/base"
)

// Limits bound what one topic keeps.
type Limits struct {
	Keys  int // values; 0 = nothing is kept
	Bytes int // of them as Values counts them, without their snapshots
}

// Overhead is what a value counts besides its frames and its key.
const Overhead = 384

// refresh is how long a value's snapshot may be used again, in nanoseconds: a
// message counts as published when its snapshot was made.
const refresh = 250_000_000

// Values are the newest messages of one topic in the order in which they were
// published: one of each key, or with one key for all just the newest.
//
//	log  [ . a . . b c d . e ]   offsets ascend; "." has been replaced since
//	         ^first
//
// Replacing leaves a hole, and holes are closed once they are half of the log, so
// every operation takes constant time in the mean and none is long: at most a pass
// over twice the values.
type Values struct {
	limits Limits
	byKey  map[string]*Value // nil: there is one for all keys
	log    []place
	first  int // before it there are only holes

	n          int
	peak       int // how many keys there have been at most since byKey was made: a map never shrinks
	size, held int
	evicted    uint64 // how many have given way to the limits
	gone       uint64 // the highest offset of them, or of one not taken
}

type place struct {
	offset uint64
	value  *Value // nil: a hole
}

// Value is one of them.
type Value struct {
	Msg *base.Message

	snapshot   *base.Message
	at         int // in the log
	size, held int
}

// New returns what a topic keeps that has kept nothing yet.
func New(l Limits, byKey bool) *Values {
	v := &Values{limits: l}
	if byKey {
		v.byKey = make(map[string]*Value)
	}
	return v
}

// Size is what a value counts against Limits.Bytes.
func Size(m *base.Message) int { return m.Bytes() + len(m.Key) + Overhead }

// Put keeps m, whose offset is higher than any before, in the place of the value of
// its key. The oldest give way to it as far as the limits ask. It reports false if m
// is larger than they allow: then its key has no value, as an older one would no
// longer be the newest.
func (v *Values) Put(m *base.Message) bool {
	size := Size(m)
	if size > v.limits.Bytes || v.limits.Keys < 1 {
		v.Omit(m)
		return false
	}
	x := v.find(m.Key)
	switch {
	case x == nil:
		x = new(Value)
	case v.byKey == nil: // it is alone and may stay where it is
		v.log[x.at].offset = m.Offset
		*x = Value{Msg: m, at: x.at, size: size, held: size}
		v.size, v.held = size, size
		return true
	default:
		v.remove(x)
	}
	for v.n > 0 && (v.n >= v.limits.Keys || v.size+size > v.limits.Bytes) {
		v.evict()
	}
	v.insert(x, m, size)
	if v.byKey == nil {
		v.evicted, v.gone = 0, 0 // what was not taken before is not the newest any more
	}
	return true
}

// Replaces is how many bytes go if m is put: those of the value of its key.
func (v *Values) Replaces(m *base.Message) int {
	if x := v.find(m.Key); x != nil {
		return x.held
	}
	return 0
}

// Omit forgets the value of m's key, because m is newer and is not kept.
func (v *Values) Omit(m *base.Message) {
	if x := v.find(m.Key); x != nil {
		v.remove(x)
		v.forget(x)
	}
	v.Missed(m.Offset)
}

// Missed says that what was published up to that offset was not kept.
func (v *Values) Missed(offset uint64) {
	v.evicted++
	v.gone = max(v.gone, offset)
}

// find returns the value that a newer message of that key replaces.
func (v *Values) find(key string) *Value {
	switch {
	case v.byKey != nil:
		return v.byKey[key]
	case v.n > 0:
		return v.log[v.first].value
	}
	return nil
}

func (v *Values) insert(x *Value, m *base.Message, size int) {
	v.compact()
	*x = Value{Msg: m, at: len(v.log), size: size, held: size}
	v.log = append(v.log, place{m.Offset, x})
	v.n++
	v.size += size
	v.held += size
	if v.byKey != nil {
		v.byKey[m.Key] = x
		v.peak = max(v.peak, len(v.byKey))
	}
}

// remove takes x out of the order; its key still names it.
func (v *Values) remove(x *Value) {
	v.log[x.at].value = nil
	v.n--
	v.size -= x.size
	v.held -= x.held
	for v.first < len(v.log) && v.log[v.first].value == nil {
		v.first++
	}
}

func (v *Values) forget(x *Value) {
	if v.byKey != nil {
		delete(v.byKey, x.Msg.Key)
	}
}

func (v *Values) evict() {
	x := v.log[v.first].value
	v.evicted++
	v.gone = max(v.gone, x.Msg.Offset)
	v.remove(x)
	v.forget(x)
}

// compact closes the holes once they are half of the log.
func (v *Values) compact() {
	if len(v.log) < 2*v.n+8 {
		return
	}
	n := 0
	for _, p := range v.log[v.first:] {
		if p.value != nil {
			p.value.at = n
			v.log[n] = p
			n++
		}
	}
	clear(v.log[n:])
	v.log, v.first = v.log[:n], 0
	if cap(v.log) > 64 && cap(v.log) > 8*n {
		v.log = append(make([]place, 0, 2*n+8), v.log...)
	}
	if v.peak > 64 && v.peak > 8*n {
		byKey := make(map[string]*Value, n)
		maps.Copy(byKey, v.byKey)
		v.byKey, v.peak = byKey, n
	}
}

// Len is how many values there are.
func (v *Values) Len() int { return v.n }

// Held is what they hold in memory, in bytes, with their snapshots.
func (v *Values) Held() int { return v.held }

// Complete reports whether nothing has given way to the limits that would be among
// the values without them.
func (v *Values) Complete() bool { return v.evicted == 0 }

// Evicted is how many values have given way to the limits, or were not taken.
func (v *Values) Evicted() uint64 { return v.evicted }

// Gone is an offset up to which values may have given way; beyond it none has.
func (v *Values) Gone() uint64 { return v.gone }

// Next returns the oldest value published after that offset, nil if there is none.
func (v *Values) Next(offset uint64) *Value {
	rest := v.log[v.first:]
	i := sort.Search(len(rest), func(i int) bool { return rest[i].offset > offset })
	for ; i < len(rest); i++ {
		if x := rest[i].value; x != nil {
			return x
		}
	}
	return nil
}

// Snapshot returns the value as it is sent to who subscribes at that moment. What is
// made for one is used for others soon after; Held grows with it.
func (v *Values) Snapshot(x *Value, now int64) *base.Message {
	if x.snapshot == nil || now-x.snapshot.At > refresh {
		x.snapshot = x.Msg.Snapshot(now)
	}
	if held := 2 * x.size; held > x.held {
		v.held += held - x.held
		x.held = held
	}
	return x.snapshot
}

// Expire forgets values whose time to live has passed: all at the old end, and of
// those behind one that lives longer as many as the search of most values finds. It
// also recounts those, as frames in other forms are made later. It reports how many
// are gone.
func (v *Values) Expire(now int64, most int) (n int) {
	for i := v.first; i < len(v.log) && most > 0; i++ {
		x := v.log[i].value
		if x == nil {
			continue
		}
		most--
		if e := x.Msg.Expires; e != 0 && e <= now {
			v.remove(x)
			v.forget(x)
			n++
			continue
		}
		if held := v.weigh(x); held > x.held {
			v.held += held - x.held
			x.held = held
		}
	}
	if n > 0 {
		v.compact()
	}
	return n
}

func (v *Values) weigh(x *Value) int {
	held := Size(x.Msg)
	if x.snapshot != nil {
		held += x.snapshot.Bytes() + Overhead
	}
	return held
}

// Drop forgets everything.
func (v *Values) Drop() {
	v.log, v.first, v.n, v.peak, v.size, v.held = nil, 0, 0, 0, 0, 0
	if v.byKey != nil {
		v.byKey = make(map[string]*Value)
	}
}
