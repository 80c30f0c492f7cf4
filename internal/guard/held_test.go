package guard_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

// TestTablesThatStrangersFillAreCounted: whatever is remembered of strangers is held in the budget, about as much as the heap has
// more, and nothing of it is left once it is forgotten.
func TestTablesThatStrangersFillAreCounted(t *testing.T) {
	const many = 70_000 // more than any of them remembers
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	later := noon.Add(1000 * time.Hour)
	for name, table := range map[string]func(hold guard.Hold) (fill func(i int), forget func()){
		"failures": func(hold guard.Hold) (func(int), func()) {
			f := guard.NewFailures(guard.FailureLimit{}, hold)
			return func(i int) { f.Fail(addr(i), noon) }, func() { f.Sweep(later) }
		},
		"penalties": func(hold guard.Hold) (func(int), func()) {
			p := guard.NewPenalties(hold)
			return func(i int) { p.Offend(guard.PenaltyKey(addr(i), uint32(i)), time.Second, noon) }, func() { p.Sweep(later) }
		},
		"strikes": func(hold guard.Hold) (func(int), func()) {
			s := guard.NewStrikes(hold)
			return func(i int) { s.Strike(fmt.Sprintf("principal of some length %d", i), noon) }, func() { s.Sweep(later) }
		},
		"refusals": func(hold guard.Hold) (func(int), func()) {
			r := guard.NewRefusals(hold)
			return func(i int) {
				r.Note(guard.RefusalKey{Kind: "origin", Detail: fmt.Sprintf("https://%d.example", i)}, noon, later)
			}, func() { r.Due(later) }
		},
		"revocations": func(hold guard.Hold) (func(int), func()) {
			r := guard.NewRevocations(nil, nil, noon, hold)
			fill := func(i int) {
				_ = r.Add(guard.Revoked{Token: fmt.Sprintf("token of some length %d", i)}, noon, noon.Add(time.Hour))
			}
			lift := func() { r.Lift(guard.Revoked{Token: "token of some length 7"}, noon); r.Sweep(later) }
			return fill, lift
		},
		"agents": func(hold guard.Hold) (func(int), func()) {
			a := guard.NewAgents(hold)
			return func(i int) { a.Came(http.Header{"User-Agent": {fmt.Sprintf("a kind of client %d", i)}}) }, nil
		},
		"comers": func(hold guard.Hold) (func(int), func()) {
			c := guard.NewComers(hold)
			forget := func() {
				for i := range many {
					c.Came(addr(i))
				}
			}
			return func(i int) { c.Left(addr(i)) }, forget
		},
		"senders": func(hold guard.Hold) (func(int), func()) {
			in := guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Second), Events: "*", Action: guard.Drop, Per: guard.PerPrincipal}}, hold)
			fill := func(i int) {
				in.Judge(senderOf(in, fmt.Sprintf("principal of some length %d", i), ""), &guard.Load{Name: "x"}, 5e9)
			}
			return fill, func() { in.Sweep(int64(time.Hour)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int64
			before := heap()
			fill, forget := table(func(n int) { held.Add(int64(n)) })
			for i := range many {
				fill(i)
			}
			took := heap() - before
			if n := held.Load(); n < took/2 || n > took*2 {
				t.Errorf("%d bytes are held, and the heap has %d more", n, took)
			}
			for range 3 { // the same again is not counted again
				fill(many - 1)
			}
			if forget == nil {
				runtime.KeepAlive(fill)
				return
			}
			if forget(); held.Load() != 0 {
				t.Errorf("%d bytes are held of what is forgotten", held.Load())
			}
		})
	}
}
