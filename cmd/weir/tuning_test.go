package main

import "testing"

func TestTuneAlwaysLeavesAThreadBesidesTheShards(t *testing.T) {
	for _, c := range []struct{ cpus, shards, workers, wantShards, wantProcs int }{
		{1, 0, 256, 1, 2},
		{1, 0, 1, 1, 2},
		{2, 0, 256, 2, 5},
		{2, 0, 0, 2, 3},
		{8, 0, 3, 8, 11},
		{8, 2, 256, 2, 11},
		{2, 6, 1, 6, 7},
	} {
		got := tune(c.cpus, c.shards, c.workers)
		if got.shards != c.wantShards || got.procs != c.wantProcs {
			t.Errorf("tune(%d CPUs, %d shards, %d workers) = %d shards, %d procs; want %d, %d",
				c.cpus, c.shards, c.workers, got.shards, got.procs, c.wantShards, c.wantProcs)
		}
	}
}
