package transport

// Waits reports whether the loop is in Wait.
func (p *Poller) Waits() bool { return p.sleeping.Load() }

// Pages is how many pages of its table a poller holds.
func (p *Poller) Pages() (n int) {
	for _, page := range p.table.pages {
		if page.entries != nil {
			n++
		}
	}
	return n
}
