package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A wave of connections leaves garbage twice the size of what it leaves behind, and the runtime keeps that memory for
// the next one. A server that has become quiet gives it back to the system, so that what it holds is what its clients
// cost.
const (
	givebackEvery = 5 * time.Second
	givebackRest  = time.Minute // between two times
	givebackFrom  = 4 << 20     // bytes; less is not worth a collection
	givebackQuiet = 16 << 20    // bytes that a quiet server allocates in givebackEvery, for its clients' heartbeats
)

// heap is what the runtime says of its memory, in bytes.
type heap struct {
	mapped    uint64 // held of the system for the heap
	live      uint64 // after the last collection
	allocated uint64 // in all since the start
}

// giveback decides when memory goes back.
type giveback struct {
	last heap
	rest time.Time
	over chan struct{} // closed when run has ended
}

// due reports whether now is the time, by its arguments and nothing else: the server is quiet, and holds an eighth more
// than it needs.
func (g *giveback) due(h heap, now time.Time) bool {
	quiet := h.allocated-g.last.allocated < max(givebackQuiet, h.live/2)
	g.last = h
	waste := int64(h.mapped) - int64(h.live)
	if !quiet || now.Before(g.rest) || waste < max(givebackFrom, int64(h.live/8)) {
		return false
	}
	g.rest = now.Add(givebackRest)
	return true
}

// startGiveback looks after the memory of the process until stop is called, which waits.
func startGiveback() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &giveback{over: make(chan struct{})}
	go g.run(ctx)
	return func() { cancel(); <-g.over }
}

// run ends with ctx.
func (g *giveback) run(ctx context.Context) {
	defer close(g.over)
	t := time.NewTicker(givebackEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if g.due(readHeap(), now) {
				debug.FreeOSMemory()
			}
		}
	}
}

func readHeap() heap {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	return heap{
		mapped: s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64(),
		live:   s[3].Value.Uint64(), allocated: s[4].Value.Uint64(),
	}
}
