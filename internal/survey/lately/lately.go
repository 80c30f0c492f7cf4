// Package lately is what happened lately, the oldest first: bounded by number, by bytes and by time. It has no lock and no
// clock.
package lately

import "time"

// Log keeps entries of type T. Set the exported fields before use.
type Log[T any] struct {
	Most  int
	Bytes int64
	For   time.Duration
	Cost  func(*T) int64     // what an entry holds in memory, in bytes
	At    func(*T) time.Time // when it happened
	Hold  func(n int64)      // is told of n bytes more, or less

	list  []T // from head on
	head  int
	bytes int64
}

// Len is how many entries are kept.
func (l *Log[T]) Len() int { return len(l.list) - l.head }

// Add appends an entry; the oldest make room for it. One larger than Bytes is not kept.
func (l *Log[T]) Add(x T) {
	cost := l.Cost(&x)
	if cost > l.Bytes {
		return
	}
	for l.Len() > 0 && (l.Len() >= l.Most || l.bytes+cost > l.Bytes) {
		l.drop()
	}
	l.list = append(l.list, x)
	l.bytes += cost
	l.Hold(cost)
}

func (l *Log[T]) drop() {
	cost := l.Cost(&l.list[l.head])
	clear(l.list[l.head : l.head+1])
	l.head++
	l.bytes -= cost
	l.Hold(-cost)
	if l.Len() == 0 {
		l.list, l.head = nil, 0
	} else if l.head > 64 && l.head > len(l.list)/2 {
		l.list, l.head = append([]T(nil), l.list[l.head:]...), 0
	}
}

// Expire forgets entries whose time is over.
func (l *Log[T]) Expire(now time.Time) {
	for l.Len() > 0 && now.Sub(l.At(&l.list[l.head])) > l.For {
		l.drop()
	}
}

// Newest returns the entries whose time is not over, the newest first.
func (l *Log[T]) Newest(now time.Time) (out []T) {
	for i := len(l.list) - 1; i >= l.head && now.Sub(l.At(&l.list[i])) <= l.For; i-- {
		out = append(out, l.list[i])
	}
	return out
}
