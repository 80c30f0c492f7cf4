package transport

// pageSize is how many descriptors a page of the table has.
const pageSize = 512

// registrations are a poller's table of the descriptors it watches. Their numbers are the process's, of which a loop has some:
// a page is made for its first descriptor and let go with its last, so that what the table takes is bounded by what is
// there.
type registrations struct {
	pages []page
	spare *[pageSize]registration // an empty one let go last: who comes alone and leaves makes no garbage
	gen   uint32                  // of the last registration; it outlives pages
}

type page struct {
	entries *[pageSize]registration // nil: live is 0
	live    int
}

// registration is the place of one descriptor in the table. gen is its number.
type registration struct {
	w   watcher
	gen uint32
}

// at returns what is known of a descriptor: no watcher where it is not registered.
func (t *registrations) at(fd int) registration {
	if n := fd / pageSize; n < len(t.pages) && t.pages[n].live > 0 {
		return t.pages[n].entries[fd%pageSize]
	}
	return registration{}
}

// next is the generation of the next registration.
func (t *registrations) next() uint32 {
	t.gen++
	return t.gen
}

// put has a descriptor that is not there.
func (t *registrations) put(fd int, e registration) {
	n := fd / pageSize
	for len(t.pages) <= n {
		t.pages = append(t.pages, page{})
	}
	p := &t.pages[n]
	if p.entries == nil {
		if p.entries, t.spare = t.spare, nil; p.entries == nil {
			p.entries = new([pageSize]registration)
		}
	}
	p.entries[fd%pageSize] = e
	p.live++
}

// remove undoes put.
func (t *registrations) remove(fd int) {
	p := &t.pages[fd/pageSize]
	p.entries[fd%pageSize] = registration{}
	if p.live--; p.live == 0 {
		t.spare, p.entries = p.entries, nil
	}
}

// all calls f for each descriptor that is there; f may remove it.
func (t *registrations) all(f func(fd int)) {
	for n := range t.pages {
		for i := 0; t.pages[n].live > 0 && i < pageSize; i++ {
			if t.pages[n].entries[i].w != nil {
				f(n*pageSize + i)
			}
		}
	}
}
