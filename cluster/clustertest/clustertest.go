// Package clustertest is the suite that every cluster.Broker passes. It tests the contract, with the faults of an engine as
// far as the one at hand can be made to have them.
package clustertest

import (
	"testing"

	"github.com/streamweir/weir/cluster"
)

// Engine is an engine under test, empty, and what can be done to it. Of the faults nil is one that it cannot be made to have:
// its tests are skipped.
type Engine struct {
	// Broker reaches the engine, by a way that Cut and Stop break.
	Broker cluster.Broker

	// Cut breaks every connection; new ones are let in.
	Cut func(t testing.TB)
	// Stop makes the engine unreachable, and Start reachable again, with what it had kept.
	Stop, Start func(t testing.TB)
	// Forget makes it lose all logs.
	Forget func(t testing.TB)
	// Deafen makes all members' subscriptions die in silence: connections stay, and nothing comes on them.
	Deafen func(t testing.TB)

	// Overrun is how many messages of 64 KiB are too many for a listener that does not return.
	Overrun int
}

// Run runs the suite; open makes an engine for each test.
func Run(t *testing.T, open func(t testing.TB) *Engine) {
	for _, row := range []struct {
		name string
		test func(*testing.T, *rig)
	}{
		{"messages reach who has subscribed", testMessages},
		{"names are what they are", testNames},
		{"a publisher's order is kept", testOrder},
		{"messages may be large, empty and binary", testData},
		{"unsubscribing while messages arrive", testUnsubscribe},
		{"a log has one order", testLog},
		{"an append is all or nothing, in one piece", testBatches},
		{"the oldest entries give way", testKeep},
		{"a log is what a model of it is", testModel},
		{"reads are bounded and go on", testReads},
		{"a log that is empty", testEmpty},
		{"offsets are above what is asked", testAbove},
		{"what is not valid is refused", testInvalid},
		{"a member that is closed", testClose},
		{"connections break", testCut},
		{"connections break in the middle of appends", testCutAppends},
		{"the engine goes away and comes back", testStop},
		{"the engine forgets", testForget},
		{"subscriptions that die in silence", testDeaf},
		{"a listener that is too slow", testSlow},
	} {
		t.Run(row.name, func(t *testing.T) { row.test(t, &rig{Engine: open(t)}) })
	}
}

// rig is an engine and its members.
type rig struct{ *Engine }

// join makes a member that closes with the test.
func (r *rig) join(t *testing.T, node string) *node {
	t.Helper()
	n := newNode(t, node)
	m, err := r.Broker.Join(t.Context(), node, n)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	n.Member = m
	t.Cleanup(func() {
		n.release()
		m.Close()
	})
	return n
}

// trio is three members.
func (r *rig) trio(t *testing.T) (a, b, c *node) {
	t.Helper()
	return r.join(t, "a"), r.join(t, "b"), r.join(t, "c")
}
