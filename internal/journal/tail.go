package journal

import (
	"time"

	"github.com/streamweir/weir/internal/topiclog"
)

// tailRests is how long nothing is appended to a log that keeps a tail.
const tailRests = 10 * time.Second

// tail is the newest records of a log as they were appended: readers a little behind need neither the disk nor a
// decoder. It is a ring, bounded in bytes, and changes under Log.mu.
//
//	entries  [ d e . . a b c ]
//	                   ^head
type tail struct {
	from    uint64 // all records behind this offset are in it
	entries []topiclog.Placement
	head, n int
	bytes   int   // of Record.Size
	touched bool  // something was added since rest
	since   int64 // when rest has seen that last
}

// add puts in what was appended, as far as there is room for so many bytes in all, and returns by how much it has grown.
func (t *tail) add(batch []waiting, room int) int {
	was := t.bytes
	t.touched = true
	batch = t.newest(batch, room)
	for i := range batch {
		e, n := &batch[i].Placement, batch[i].size
		if e.Volatile {
			continue
		}
		for t.n > 0 && t.bytes+n > room {
			t.drop()
		}
		if n > room {
			t.from = e.Offset
			continue
		}
		t.push(e)
		t.bytes += n
	}
	return t.bytes - was
}

// newest is the end of a batch: what comes before it has no room beside it.
func (t *tail) newest(batch []waiting, room int) []waiting {
	for i := len(batch) - 1; i >= 0; i-- {
		if batch[i].Volatile {
			continue
		}
		if room -= batch[i].size; room < 0 {
			t.forget(batch[i].Offset)
			return batch[i+1:]
		}
	}
	return batch
}

func (t *tail) push(e *topiclog.Placement) {
	if t.n == len(t.entries) {
		bigger := make([]topiclog.Placement, max(2*t.n, 16))
		k := copy(bigger, t.entries[t.head:])
		copy(bigger[k:], t.entries[:t.head])
		t.entries, t.head = bigger, 0
	}
	t.entries[t.at(t.n)] = *e
	t.n++
}

// at is where the i-th entry from the oldest is.
func (t *tail) at(i int) int {
	if i += t.head; i >= len(t.entries) {
		i -= len(t.entries)
	}
	return i
}

// drop lets the oldest go.
func (t *tail) drop() {
	e := &t.entries[t.head]
	t.from = e.Offset
	t.bytes -= e.Size()
	*e = topiclog.Placement{}
	t.head = t.at(1)
	t.n--
}

// forget drops what is not behind an offset, and returns by how much it has grown.
func (t *tail) forget(offset uint64) int {
	was := t.bytes
	for t.n > 0 && t.entries[t.head].Offset <= offset {
		t.drop()
	}
	t.from = max(t.from, offset)
	return t.bytes - was
}

// empty drops all.
func (t *tail) empty() int {
	was := t.bytes
	if t.n > 0 {
		t.from = t.entries[t.at(t.n-1)].Offset
	}
	t.entries, t.head, t.n, t.bytes = nil, 0, 0, 0
	return -was
}

// rest drops all if nothing was added for long.
func (t *tail) rest(now int64) int {
	switch {
	case t.touched || t.n == 0:
		t.touched, t.since = false, now
	case now-t.since > int64(tailRests):
		return t.empty()
	}
	return 0
}

// after is the entries behind an offset that is not below from, in two parts.
func (t *tail) after(offset uint64) (first, second []topiclog.Placement) {
	low, high := 0, t.n
	for low < high {
		if middle := (low + high) / 2; t.entries[t.at(middle)].Offset > offset {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == t.n {
		return nil, nil
	}
	from, to := t.at(low), t.at(t.n-1)+1
	if from < to {
		return t.entries[from:to], nil
	}
	return t.entries[from:], t.entries[:to]
}
