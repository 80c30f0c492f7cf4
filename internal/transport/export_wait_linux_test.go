package transport

// Waits reports whether the loop is in Wait.
func (p *Poller) Waits() bool { return p.sleeping.Load() }
