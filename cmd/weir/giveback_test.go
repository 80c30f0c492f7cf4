package main

import (
	"testing"
	"time"
)

func TestQuietServerGivesBackWhatAWaveHasLeft(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		h    heap
		want bool
	}{
		"a wave has passed":           {heap{mapped: 60 * mib, live: 20 * mib}, true},
		"little is wasted":            {heap{mapped: 95 * mib, live: 90 * mib}, false},
		"a small server":              {heap{mapped: 6 * mib, live: 3 * mib}, false},
		"more live than mapped":       {heap{mapped: 10 * mib, live: 40 * mib}, false},
		"a wave is passing":           {heap{mapped: 60 * mib, live: 20 * mib, allocated: 25 * mib}, false},
		"heartbeats only, but wasted": {heap{mapped: 60 * mib, live: 20 * mib, allocated: 9 * mib}, true},
	} {
		var g giveback
		if got := g.due(c.h, time.Unix(100, 0)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestMemoryIsGivenBackOnceAMinute(t *testing.T) {
	var g giveback
	h := heap{mapped: 60 << 20, live: 20 << 20}
	times := 0
	for s := range 180 {
		if g.due(h, time.Unix(int64(s), 0)) {
			times++
		}
	}
	if times != 3 {
		t.Errorf("%d times in three minutes", times)
	}
}

func TestHeapIsRead(t *testing.T) {
	if h := readHeap(); h.mapped == 0 || h.allocated == 0 {
		t.Errorf("%+v", h)
	}
}
