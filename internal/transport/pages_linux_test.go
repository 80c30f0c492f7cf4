package transport_test

import "testing"

// The table of a loop is bounded by what is live, not by the highest descriptor there ever was.
func TestPagesOfTheTableGoWithTheirDescriptors(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	pages := func() (n int) {
		p.loops[0].Do(func() { n = p.loops[0].Poller.Pages() })
		return n
	}
	quiet := pages()
	var wave []*end
	for range 700 {
		wave = append(wave, p.open())
	}
	if most := pages(); most < quiet+2 { // 1,400 descriptors, the peers among them
		t.Errorf("%d pages for the wave, %d before: want two more", most, quiet)
	}
	for _, e := range wave {
		_ = e.peer.Close()
		<-e.closed
	}
	p.settle()
	if after := pages(); after != quiet {
		t.Errorf("%d pages are left of the wave, %d were before", after, quiet)
	}
	e := p.open() // and its number is used again
	_ = e.peer.Close()
	<-e.closed
}
