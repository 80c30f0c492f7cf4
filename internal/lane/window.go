package lane

import "unsafe"

// window holds what a reliable lane has sent and the client has not
// acknowledged: at most span entries, counted from the oldest unacknowledged
// one, so that nothing newer overtakes a lost message by more than that
// (promise P4). It is a ring of its own; a hole left by an early ack stays until
// the oldest leaves.
type window struct {
	slots  []flight
	head   int            // index of the oldest
	n      int            // slots in use, holes included
	held   int            // slots that hold a message
	bytes  int            // their wire bytes
	resend int            // slots waiting to be sent again
	byID   map[string]int // only for wide windows, see scanSpan
}

// flight is one message sent or about to be.
type flight struct {
	item  *Item
	size  int
	since int64  // when its ack clock was last known not to run: sent, or the connection still busy
	take  uint32 // the Entry it was last given out as
	tries uint16
	state flightState
}

type flightState uint8

const (
	flightHole    flightState = iota // acknowledged or given up; or never used
	flightWriting                    // taken, not yet with the kernel
	flightSent                       // waiting for its ack
	flightDue                        // waiting to be sent again
)

// scanSpan is the widest window whose acks are found by scanning from the
// oldest, which is where acks usually are; wider ones keep an index.
const scanSpan = 32

// The memory of a window, in bytes: the window itself, each place, each row of its index.
const (
	windowBytes = int(unsafe.Sizeof(window{}))
	flightBytes = int(unsafe.Sizeof(flight{}))
	idBytes     = 48
)

// memory is the size of the window in bytes, full or empty.
func (w *window) memory() int64 {
	n := windowBytes + flightBytes*len(w.slots)
	if w.byID != nil {
		n += idBytes * len(w.slots)
	}
	return int64(n)
}

func newWindow(span int) *window {
	w := &window{slots: make([]flight, span)}
	if span > scanSpan {
		w.byID = make(map[string]int, span)
	}
	return w
}

// load is how many messages are in the window, and their bytes; nil is empty.
func (w *window) load() (n, bytes int) {
	if w == nil {
		return 0, 0
	}
	return w.held, w.bytes
}

func (w *window) full() bool { return w.n == len(w.slots) }

func (w *window) index(i int) int {
	if i += w.head; i >= len(w.slots) {
		i -= len(w.slots)
	}
	return i
}

// add appends a message being written and returns its index.
func (w *window) add(s slot) int {
	i := w.index(w.n)
	w.slots[i] = flight{item: s.item, size: s.size, state: flightWriting}
	w.n++
	w.held++
	w.bytes += s.size
	if w.byID != nil {
		w.byID[s.item.Msg.ID] = i
	}
	return i
}

// takeBack removes the newest message, which was taken and not written.
func (w *window) takeBack(i int) (slot, bool) {
	if w.n == 0 || i != w.index(w.n-1) || w.slots[i].state != flightWriting {
		return slot{}, false
	}
	s := slot{item: w.slots[i].item, size: w.slots[i].size}
	w.clear(i)
	w.n--
	return s, true
}

// find returns the index of the message with that id.
func (w *window) find(id string) (int, bool) {
	if w.byID != nil {
		i, ok := w.byID[id]
		return i, ok
	}
	for k := range w.n {
		if i := w.index(k); w.slots[i].state != flightHole && w.slots[i].item.Msg.ID == id {
			return i, true
		}
	}
	return 0, false
}

// nextDue returns the oldest message waiting to be sent again.
func (w *window) nextDue() (int, bool) {
	if w.resend == 0 {
		return 0, false
	}
	for k := range w.n {
		if i := w.index(k); w.slots[i].state == flightDue {
			return i, true
		}
	}
	return 0, false
}

// free empties slot i and moves the window past the holes at its head.
func (w *window) free(i int) flight {
	f := w.slots[i]
	w.clear(i)
	for w.n > 0 && w.slots[w.head].state == flightHole {
		w.head = w.index(1)
		w.n--
	}
	return f
}

func (w *window) clear(i int) {
	f := &w.slots[i]
	if f.state == flightDue {
		w.resend--
	}
	if id := f.item.Msg.ID; w.byID != nil && w.byID[id] == i {
		delete(w.byID, id)
	}
	w.held--
	w.bytes -= f.size
	*f = flight{}
}

func (w *window) set(i int, s flightState) {
	f := &w.slots[i]
	if f.state == flightDue {
		w.resend--
	}
	if s == flightDue {
		w.resend++
	}
	f.state = s
}
