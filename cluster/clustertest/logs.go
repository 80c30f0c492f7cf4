package clustertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/cluster"
)

// Whoever appends after another was told a position comes behind it, and everybody sees the one order.
func testLog(t *testing.T, r *rig) {
	const each = 100
	a, b, c := r.trio(t)
	nodes := []*node{a, b, c}
	told := make([][]cluster.Position, len(nodes))
	for _, n := range nodes {
		n.follow("log")
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			for k := range each {
				told[i] = append(told[i], n.put("log", fmt.Sprintf("%d %d", i, k))...)
			}
		})
	}
	all.Wait()
	places := make(map[string]cluster.Position)
	for i := range told {
		for k, at := range told[i] {
			places[fmt.Sprintf("%d %d", i, k)] = at
			if k > 0 && at.Offset <= told[i][k-1].Offset {
				t.Errorf("%+v was told after %+v", at, told[i][k-1])
			}
		}
	}
	if got := a.whole("log"); len(got) != len(places) {
		t.Errorf("%d entries of %d", len(got), len(places))
	}
	entries := a.read("log", 0)
	for _, e := range entries {
		if places[string(e.Data)] != e.Position {
			t.Errorf("%q is at %+v, told %+v", e.Data, e.Position, places[string(e.Data)])
		}
	}
	for _, n := range nodes {
		n.until("all entries came", func() bool { return len(n.entries["log"]) >= len(entries) })
		if !slices.EqualFunc(n.entries["log"], entries, sameEntry) {
			t.Errorf("%s: the live entries are not those of the log", n.name)
		}
	}
}

func sameEntry(a, b cluster.Entry) bool {
	return a.Position == b.Position && string(a.Data) == string(b.Data)
}

func testBatches(t *testing.T, r *rig) {
	const each, size = 30, 7
	a, b, _ := r.trio(t)
	var all sync.WaitGroup
	for i, n := range []*node{a, b} {
		all.Go(func() {
			for k := range each {
				var data []string
				for j := range size {
					data = append(data, fmt.Sprintf("%d %d %d", i, k, j))
				}
				n.put("log", data...)
			}
		})
	}
	all.Wait()
	got := b.whole("log")
	if len(got) != 2*each*size {
		t.Fatalf("%d entries", len(got))
	}
	for i := 0; i < len(got); i += size {
		for j := range size {
			if want := got[i][:len(got[i])-1] + fmt.Sprint(j); got[i+j] != want {
				t.Fatalf("entry %d is %q, want %q", i+j, got[i+j], want)
			}
		}
	}
}

func testKeep(t *testing.T, r *rig) {
	a := r.join(t, "a")
	var at []cluster.Position
	for i := range 50 {
		p, err := a.Append(t.Context(), "log", cluster.AppendOptions{Keep: 10}, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p...)
	}
	check := func(kept int) {
		t.Helper()
		p, err := a.Read(t.Context(), "log", 0, cluster.Limit{Entries: 100, Bytes: 1 << 20})
		oldest := len(at) - kept
		if err != nil || len(p.Entries) != kept || p.First != at[oldest].Offset || p.Last != at[len(at)-1].Offset {
			t.Fatalf("%d entries, %d to %d, %v", len(p.Entries), p.First, p.Last, err)
		}
		if p.Entries[0].Previous != at[oldest-1].Offset {
			t.Errorf("the oldest entry names %d before it, want %d", p.Entries[0].Previous, at[oldest-1].Offset)
		}
	}
	check(10)
	p, err := a.Append(t.Context(), "log", cluster.AppendOptions{Keep: 3}, []byte("a"), []byte("b"), []byte("c"), []byte("d"), []byte("e"))
	if at = append(at, p...); err != nil || len(p) != 5 {
		t.Fatalf("%d positions, %v", len(p), err)
	}
	check(3)
}

func testReads(t *testing.T, r *rig) {
	a := r.join(t, "a")
	var at []cluster.Position
	for i := range 60 {
		at = append(at, a.put("log", string(make([]byte, i*10)))...)
	}
	for _, most := range []cluster.Limit{{}, {Entries: 7, Bytes: 1 << 20}, {Entries: 1000, Bytes: 1}, {Entries: 1000, Bytes: 1000}} {
		n := 0
		for after := uint64(0); ; {
			p, err := a.Read(t.Context(), "log", after, most)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Entries) == 0 {
				break
			}
			bytes := 0
			for _, e := range p.Entries {
				if e.Position != at[n] || len(e.Data) != n*10 {
					t.Fatalf("%+v: entry %d is %+v of %d bytes", most, n, e.Position, len(e.Data))
				}
				after, n, bytes = e.Offset, n+1, bytes+len(e.Data)
			}
			if k := len(p.Entries); k > max(most.Entries, 1) || (k > 1 && bytes > most.Bytes) {
				t.Errorf("%+v: %d entries of %d bytes", most, k, bytes)
			}
		}
		if n != len(at) {
			t.Errorf("%+v: %d entries", most, n)
		}
	}
	between, err := a.Read(t.Context(), "log", at[20].Offset-1, cluster.Limit{})
	if err != nil || len(between.Entries) != 1 || between.Entries[0].Position != at[20] {
		t.Errorf("after what no entry has: %+v, %v", between, err)
	}
}

func testEmpty(t *testing.T, r *rig) {
	a, b, _ := r.trio(t)
	a.follow("log")
	p, err := a.Read(t.Context(), "log", 7, cluster.Limit{Entries: 10, Bytes: 1000})
	if err != nil || p.Epoch != "" || p.First != 1 || p.Last != 0 || len(p.Entries) > 0 {
		t.Errorf("an empty log: %+v, %v", p, err)
	}
	at := b.put("log", "1")
	if at[0].Previous != 0 || at[0].Epoch == "" {
		t.Errorf("the first entry is at %+v", at[0])
	}
	a.until("it came", func() bool { return len(a.entries["log"]) == 1 })
	p, err = a.Read(t.Context(), "log", cluster.MaxOffset-1, cluster.Limit{Entries: 10, Bytes: 1000})
	if err != nil || p.Epoch != at[0].Epoch || p.First != at[0].Offset || p.Last != at[0].Offset || len(p.Entries) > 0 {
		t.Errorf("behind its end: %+v, %v", p, err)
	}
}

func testAbove(t *testing.T, r *rig) {
	a := r.join(t, "a")
	at := a.put("log", "1")[0]
	above := at.Offset + 1<<40
	next, err := a.Append(t.Context(), "log", cluster.AppendOptions{Keep: keep, Above: above}, []byte("2"))
	if err != nil || next[0].Offset <= above || next[0].Previous != at.Offset || next[0].Epoch != at.Epoch {
		t.Errorf("above %d: %+v, %v", above, next, err)
	}
	if last := a.put("log", "3")[0]; last.Offset <= next[0].Offset || last.Previous != next[0].Offset {
		t.Errorf("after %+v: %+v", next, last)
	}
	a.whole("log")
}
