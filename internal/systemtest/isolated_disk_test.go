package systemtest_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/streamweir/weir"
)

// A real file system hangs under a best-effort topic: publishers are answered, whoever keeps up gets everything while it hangs,
// the books balance and memory is bounded. When it goes on, whoever was behind gets what had room to wait for it, and is
// told of the rest where it is missing.
func TestBestEffortNeedsNoDiskThatHangs(t *testing.T) {
	if !withMounts(t) {
		return
	}
	const before, size, beyond = 1500, 8 << 10, 100
	dir := mountImage(t, 64<<20)
	o := feed(weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16, Bytes: 1 << 20}})
	o.Journal.Path, o.Management.Addr = filepath.Join(dir, "journal"), "127.0.0.1:0"
	srv := start(t, o)
	slow, healthy := dial(t, addr(srv), "/feed", nil, dialOptions{}), dial(t, addr(srv), "/feed", nil, dialOptions{})
	slow.subscribe("/feed", "ticks", map[string]any{"notifyLoss": true})
	healthy.subscribe("/feed", "ticks")
	for n := range before {
		r := publish(t, srv, "ticks", numbered(n, size), weir.WithReceipt())
		if r.Rejected > 0 || (n == before-1 && r.Spilled != 1) {
			t.Fatalf("%d: %+v", n, r)
		}
		healthy.read("ticks", n, n)
	}
	thaw := freeze(t, dir)
	n, lost, unkept := before, 0, 0
	for ; lost < beyond; n++ {
		r := publish(t, srv, "ticks", numbered(n, size), weir.WithReceipt())
		if r.Queued != 1 || r.Spilled+r.Rejected != 1 || !r.Complete {
			t.Fatalf("%d: %+v", n, r)
		}
		if r.Unkept {
			unkept++
		}
		if lost += r.Rejected; lost > 0 && r.Rejected == 0 {
			t.Errorf("%d has room to wait, %d had none", n, n-1)
		}
		healthy.read("ticks", n, n)
	}
	if first := n - before - unkept; first > 1 { // one may be written while it is being frozen
		t.Errorf("of %d messages that no disk has %d are said to be kept", n-before, first)
	}
	if held := metric(t, srv, "weir_memory_held_bytes", `what="journal"`); held > 4<<20+2<<20 {
		t.Errorf("%v bytes are held for a disk that hangs", held)
	}
	balanced(t, srv)
	thaw()
	last := n
	for publish(t, srv, "ticks", numbered(last, size)).Unkept { // until it is known to go on
		last++
		lost++
	}
	told, next := 0, 0
	for next <= last {
		pk := slow.packet()
		switch pk.name {
		case "weir:lost":
			var v struct {
				Count  int
				Reason string
			}
			if err := json.Unmarshal(pk.args[0], &v); err != nil || v.Reason != "spill_failed" || next < before {
				t.Errorf("behind %d it is told %s", next-1, pk.args[0])
			}
			told += v.Count
			next += v.Count
		case "ticks":
			if got := number(t, pk); got != next {
				t.Fatalf("%d comes where %d is due; it was told of %d lost", got, next, told)
			}
			next++
		}
	}
	if told < beyond || told > lost {
		t.Errorf("it was told of %d lost messages, of %d", told, lost)
	}
	healthy.read("ticks", n, last)
	balanced(t, srv)
}
