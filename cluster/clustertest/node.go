package clustertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/cluster"
)

// node is a member and what its listener has heard.
type node struct {
	cluster.Member
	t    *testing.T
	name string

	mu       sync.Mutex
	news     *sync.Cond // of whatever follows
	messages map[string][]string
	entries  map[string][]cluster.Entry
	lapses   int
	states   []cluster.State
	inside   bool
	stuck    bool // the listener does not return until release
	waits    bool // it is stuck in a call
	over     bool // the test has waited enough
}

// patience is how long a member may take for whatever it is waited for.
const patience = time.Minute

func newNode(t *testing.T, name string) *node {
	t.Helper()
	n := &node{t: t, name: name, messages: make(map[string][]string), entries: make(map[string][]cluster.Entry)}
	n.news = sync.NewCond(&n.mu)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	stop := context.AfterFunc(ctx, n.end)
	t.Cleanup(func() {
		stop()
		cancel()
	})
	return n
}

// end ends waiting.
func (n *node) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over, n.stuck = true, false
	n.news.Broadcast()
}

// hear is one call of the listener.
func (n *node) hear(note func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.inside {
		n.t.Errorf("%s: two calls of the listener at the same time", n.name)
	}
	n.inside = true
	for n.stuck {
		n.waits = true
		n.news.Broadcast()
		n.news.Wait()
	}
	n.waits = false
	note()
	n.inside = false
	n.news.Broadcast()
}

// Message implements cluster.Listener.
func (n *node) Message(channel string, data []byte) {
	n.hear(func() { n.messages[channel] = append(n.messages[channel], string(data)) })
}

// Entries implements cluster.Listener.
func (n *node) Entries(log string, entries []cluster.Entry) {
	n.hear(func() {
		if !slices.IsSortedFunc(entries, byOffset) || len(entries) == 0 {
			n.t.Errorf("%s: live entries of %s: %v", n.name, log, entries)
		}
		n.entries[log] = append(n.entries[log], entries...)
	})
}

// Lapsed implements cluster.Listener.
func (n *node) Lapsed() { n.hear(func() { n.lapses++ }) }

// Changed implements cluster.Listener.
func (n *node) Changed(s cluster.State) { n.hear(func() { n.states = append(n.states, s) }) }

func byOffset(a, b cluster.Entry) int {
	switch {
	case a.Offset < b.Offset:
		return -1
	case a.Offset > b.Offset:
		return 1
	}
	return 0
}

// until waits for a condition on what was heard.
func (n *node) until(what string, is func() bool) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for !is() {
		if n.over {
			n.t.Fatalf("%s: the test has ended before %s", n.name, what)
		}
		n.news.Wait()
	}
}

// has waits until the messages of a channel are these.
func (n *node) has(channel string, want ...string) {
	n.t.Helper()
	n.until(fmt.Sprintf("there were %d messages of %q", len(want), channel), func() bool { return len(n.messages[channel]) >= len(want) })
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.messages[channel]; !slices.Equal(got, want) {
		n.t.Errorf("%s has of %q %.300q, want %.300q", n.name, channel, got, want)
	}
}

// stick makes the listener's next call wait for release.
func (n *node) stick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stuck = true
}

func (n *node) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stuck = false
	n.news.Broadcast()
}

// heard is how many messages of a channel have come.
func (n *node) heard(channel string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.messages[channel])
}

// count is how often Lapsed was called.
func (n *node) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lapses
}

// publish has to succeed.
func (n *node) publish(channel, data string) {
	n.t.Helper()
	if err := n.Publish(n.t.Context(), channel, []byte(data)); err != nil {
		n.t.Fatalf("%s publishes on %q: %v", n.name, channel, err)
	}
}

func (n *node) subscribe(channels ...string) {
	n.t.Helper()
	if err := n.Subscribe(n.t.Context(), channels...); err != nil {
		n.t.Fatalf("%s subscribes to %q: %v", n.name, channels, err)
	}
}

func (n *node) follow(logs ...string) {
	n.t.Helper()
	if err := n.Follow(n.t.Context(), logs...); err != nil {
		n.t.Fatalf("%s follows %q: %v", n.name, logs, err)
	}
}

// keep is how many entries logs keep where it does not matter.
const keep = 100_000

// put appends, which has to succeed.
func (n *node) put(log string, data ...string) []cluster.Position {
	n.t.Helper()
	at, err := n.Append(n.t.Context(), log, cluster.AppendOptions{Keep: keep}, bytesOf(data)...)
	if err != nil || len(at) != len(data) {
		n.t.Fatalf("%s appends to %q: %d positions for %d, %v", n.name, log, len(at), len(data), err)
	}
	return at
}

func bytesOf(texts []string) (all [][]byte) {
	for _, s := range texts {
		all = append(all, []byte(s))
	}
	return all
}

// read reads all of a log behind an offset, a few at a time, and checks that what it is told fits.
func (n *node) read(log string, after uint64) (all []cluster.Entry) {
	n.t.Helper()
	for {
		var p cluster.Page
		n.again(func() (err error) {
			p, err = n.Read(n.t.Context(), log, after, cluster.Limit{Entries: 100, Bytes: 1 << 20})
			return err
		})
		if len(p.Entries) == 0 {
			return all
		}
		all = append(all, p.Entries...)
		if after = all[len(all)-1].Offset; after > p.Last {
			n.t.Errorf("%s reads %d of a log up to %d", n.name, after, p.Last)
		}
	}
}

// whole reads a log that has lost nothing, and checks its chain.
func (n *node) whole(log string) (data []string) {
	n.t.Helper()
	previous, epoch := uint64(0), ""
	for _, e := range n.read(log, 0) {
		if e.Previous != previous || e.Offset <= previous || e.Offset >= cluster.MaxOffset || e.Epoch == "" || (epoch != "" && e.Epoch != epoch) {
			n.t.Fatalf("%s: %+v comes after %d of %q", n.name, e.Position, previous, epoch)
		}
		previous, epoch = e.Offset, e.Epoch
		data = append(data, string(e.Data))
	}
	return data
}

// again calls f until it succeeds: connections may be broken, or not have been found broken yet.
func (n *node) again(f func() error) {
	n.t.Helper()
	for err := f(); err != nil; err = f() {
		n.mu.Lock()
		over := n.over
		n.mu.Unlock()
		if over || errors.Is(err, cluster.ErrInvalid) || errors.Is(err, cluster.ErrClosed) {
			n.t.Fatalf("%s: %v", n.name, err)
		}
		runtime.Gosched()
	}
}
