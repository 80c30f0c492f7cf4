package lane

// ring is a queue of entries addressed by position: pushing at the tail numbers
// entries upwards, and a position stays valid until its entry leaves. It grows by
// doubling and gives its memory back by trim.
type ring struct {
	slots []slot // length is a power of two, or 0
	head  uint64 // position of the oldest entry
	tail  uint64 // position after the newest
}

// slot is one queued entry.
type slot struct {
	item *Item
	size int
}

// firstPosition leaves room below for entries put back at the head.
const (
	firstPosition = 1 << 62
	minRing       = 4
)

func (r *ring) len() int          { return int(r.tail - r.head) }
func (r *ring) at(p uint64) *slot { return &r.slots[p&uint64(len(r.slots)-1)] }
func (r *ring) has(p uint64) bool { return p-r.head < r.tail-r.head }
func (r *ring) front() (s slot)   { return *r.at(r.head) }

func (r *ring) push(s slot) (position uint64) {
	r.reserve()
	*r.at(r.tail) = s
	r.tail++
	return r.tail - 1
}

func (r *ring) pushFront(s slot) (position uint64) {
	r.reserve()
	r.head--
	*r.at(r.head) = s
	return r.head
}

func (r *ring) pop() slot {
	p := r.at(r.head)
	s := *p
	*p = slot{}
	r.head++
	return s
}

// reserve makes room for one more entry.
func (r *ring) reserve() {
	if r.slots == nil {
		r.slots = make([]slot, minRing)
		r.head, r.tail = firstPosition, firstPosition
		return
	}
	if r.len() < len(r.slots) {
		return
	}
	bigger := ring{slots: make([]slot, 2*len(r.slots)), head: r.head, tail: r.tail}
	for p := r.head; p != r.tail; p++ {
		*bigger.at(p) = *r.at(p)
	}
	*r = bigger
}

// trim gives the memory of an empty ring back.
func (r *ring) trim() {
	if r.len() == 0 {
		r.slots = nil
	}
}
