package guard

import "unsafe"

// Hold is told of memory that is held for strangers, for the budget: n bytes more, or less. It is called with locks held, by any
// goroutine, and waits for nothing. nil: nobody asks.
type Hold func(n int)

// maxLedger bounds what strangers can make the server remember: some ten megabytes at the most.
const maxLedger = 65536

// ledger remembers something of the keys renewed last; when full it forgets the key not renewed for the longest. It is
// not safe for concurrent use.
type ledger[K comparable, V any] struct {
	limit int
	hold  Hold
	text  func(K, *V) int // how many bytes of text a page refers to; nil: none
	pages map[K]*page[K, V]
	root  page[K, V] // ring: root.next is the oldest, root.prev the newest
}

type page[K comparable, V any] struct {
	next, prev *page[K, V]
	key        K
	value      V
}

func (l *ledger[K, V]) init(limit int, hold Hold, text func(K, *V) int) {
	l.limit, l.hold, l.text = limit, hold, text
	l.pages = make(map[K]*page[K, V])
	l.root.next, l.root.prev = &l.root, &l.root
}

func (l *ledger[K, V]) find(key K) (*V, bool) {
	p, ok := l.pages[key]
	if !ok {
		return nil, false
	}
	return &p.value, true
}

// renew makes key the newest and sets its value.
func (l *ledger[K, V]) renew(key K, value V) {
	p, ok := l.pages[key]
	switch {
	case ok:
		p.unlink()
	case len(l.pages) >= l.limit:
		l.drop(l.root.next)
		fallthrough
	default:
		p = &page[K, V]{key: key}
		l.pages[key] = p
	}
	if ok {
		l.count(p, -1)
	}
	p.value = value
	l.count(p, 1)
	last := l.root.prev
	p.prev, p.next = last, &l.root
	last.next, l.root.prev = p, p
}

// forget drops keys from the oldest on, as long as they are over and at most n.
func (l *ledger[K, V]) forget(n int, over func(*V) bool) {
	for ; n > 0 && len(l.pages) > 0 && over(&l.root.next.value); n-- {
		l.drop(l.root.next)
	}
	if len(l.pages) == 0 {
		l.pages = make(map[K]*page[K, V]) // an emptied map keeps its memory
	}
}

// dropIf drops every key that over says so of and returns how many.
func (l *ledger[K, V]) dropIf(over func(K, *V) bool) (n int) {
	for p := l.root.next; p != &l.root; {
		next := p.next
		if over(p.key, &p.value) {
			l.drop(p)
			n++
		}
		p = next
	}
	return n
}

func (l *ledger[K, V]) drop(p *page[K, V]) {
	l.count(p, -1)
	delete(l.pages, p.key)
	p.unlink()
}

// count tells the budget of a page that has come, or with -1 goes.
func (l *ledger[K, V]) count(p *page[K, V], sign int) {
	if l.hold == nil {
		return
	}
	n := int(unsafe.Sizeof(*p)) + placeBytes(p.key)
	if l.text != nil {
		n += l.text(p.key, &p.value)
	}
	l.hold(sign * n)
}

// placeBytes is what a place in a map takes that leads from a key to a pointer or a number: a map is half full on average.
func placeBytes[K comparable](key K) int {
	return 2 * int(unsafe.Sizeof(key)+unsafe.Sizeof(uintptr(0)))
}

func (p *page[K, V]) unlink() {
	p.prev.next, p.next.prev = p.next, p.prev
	p.next, p.prev = nil, nil
}
