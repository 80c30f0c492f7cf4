package transport

// pageSize is how many descriptors a page of the table has.
const pageSize = 512

// entries are a poller's table of the descriptors it watches. Their numbers are the process's, of which a loop has some:
// a page is made for its first descriptor and let go with its last, so that what the table takes is bounded by what is
// there.
type entries struct {
	pages []page
	spare *[pageSize]entry // an empty one let go last: who comes alone and leaves makes no garbage
	gen   uint32           // of the last registration; it outlives pages
}

type page struct {
	entries *[pageSize]entry // nil: live is 0
	live    int
}

// entry is a descriptor's place in the table. gen is its registration's.
type entry struct {
	w   watcher
	gen uint32
}

// at returns what is known of a descriptor: no watcher where it is not registered.
func (t *entries) at(fd int) entry {
	if n := fd / pageSize; n < len(t.pages) && t.pages[n].live > 0 {
		return t.pages[n].entries[fd%pageSize]
	}
	return entry{}
}

// next is the generation of the next registration.
func (t *entries) next() uint32 {
	t.gen++
	return t.gen
}

// put has a descriptor that is not there.
func (t *entries) put(fd int, e entry) {
	n := fd / pageSize
	for len(t.pages) <= n {
		t.pages = append(t.pages, page{})
	}
	p := &t.pages[n]
	if p.entries == nil {
		if p.entries, t.spare = t.spare, nil; p.entries == nil {
			p.entries = new([pageSize]entry)
		}
	}
	p.entries[fd%pageSize] = e
	p.live++
}

// remove undoes put.
func (t *entries) remove(fd int) {
	p := &t.pages[fd/pageSize]
	p.entries[fd%pageSize] = entry{}
	if p.live--; p.live == 0 {
		t.spare, p.entries = p.entries, nil
	}
}

// all calls f for each descriptor that is there; f may remove it.
func (t *entries) all(f func(fd int)) {
	for n := range t.pages {
		for i := 0; t.pages[n].live > 0 && i < pageSize; i++ {
			if t.pages[n].entries[i].w != nil {
				f(n*pageSize + i)
			}
		}
	}
}
