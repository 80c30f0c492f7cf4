package clustertest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/streamweir/weir/cluster"
)

// testModel appends and reads at random, and compares what is read with what a slice has kept.
func testModel(t *testing.T, r *rig) {
	const steps = 200
	a, b, _ := r.trio(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	var all []cluster.Entry
	kept, keep := 0, 100 // fewer and fewer: whether what has given way is seen again when more are kept is left to the broker
	for step := range steps {
		n := 1
		if random.IntN(3) == 0 {
			n = 1 + random.IntN(40)
		}
		if random.IntN(20) == 0 {
			keep -= random.IntN(keep)
		}
		var data [][]byte
		for i := range n {
			data = append(data, fmt.Appendf(nil, "%d %d %*d", step, i, random.IntN(20), 0))
		}
		at, err := a.Append(t.Context(), "log", cluster.AppendOptions{Keep: keep}, data...)
		if err != nil || len(at) != n {
			t.Fatalf("step %d: %d positions of %d, %v", step, len(at), n, err)
		}
		for i := range at {
			all = append(all, cluster.Entry{Position: at[i], Data: data[i]})
		}
		kept = max(kept, len(all)-keep)
		if random.IntN(4) > 0 {
			continue
		}
		from := kept + random.IntN(len(all)-kept)
		after := all[from].Offset - uint64(random.IntN(2)) //nolint:gosec // 0 or 1
		if random.IntN(4) == 0 {
			after = 0
		}
		most := cluster.Limit{Entries: random.IntN(60), Bytes: random.IntN(1000)}
		page, err := b.Read(t.Context(), "log", after, most)
		if err != nil {
			t.Fatal(err)
		}
		if page.First != all[kept].Offset || page.Last != all[len(all)-1].Offset || page.Epoch != at[0].Epoch {
			t.Fatalf("step %d: the log has %d to %d, want %d to %d", step, page.First, page.Last, all[kept].Offset, all[len(all)-1].Offset)
		}
		want := pageOf(all[kept:], after, most)
		if len(page.Entries) != len(want) {
			t.Fatalf("step %d: %d entries after %d within %+v, want %d", step, len(page.Entries), after, most, len(want))
		}
		for i := range want {
			if !sameEntry(page.Entries[i], want[i]) {
				t.Fatalf("step %d: entry %d is %+v, want %+v", step, i, page.Entries[i], want[i])
			}
		}
	}
}

// pageOf is what a read of kept entries gives.
func pageOf(kept []cluster.Entry, after uint64, most cluster.Limit) (page []cluster.Entry) {
	bytes := 0
	for _, e := range kept {
		if e.Offset <= after {
			continue
		}
		if bytes += len(e.Data); len(page) > 0 && (len(page) >= most.Entries || bytes > most.Bytes) {
			break
		}
		page = append(page, e)
	}
	return page
}
