package main

import (
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

// workerNice is the niceness of the binary's workers: two CPU-bound handlers on two cores otherwise raise everybody's
// median from 0.5 to 46 ms (architecture.md D8).
const workerNice = 10

// memoryShare is how much of a container's memory the collector may fill before it works harder.
const memoryShare = 0.9

// tuning is how the process shares the machine (architecture.md D8).
type tuning struct {
	shards int // event loops
	procs  int // GOMAXPROCS
	nice   int // of workers
}

// cpus is how many CPUs there are for shards: what Go takes, but for a quota of less than two, which Go rounds up.
func cpus() int {
	n := runtime.GOMAXPROCS(0)
	if given := doctor.ThisMachine(0).CPUs(); given > 0 {
		n = min(n, given)
	}
	return n
}

// tune decides for a number of CPUs. shards 0 is one for each; workers are the handlers that may run at once. There
// is always a thread besides those of the shards: with one for both, a busy shard starves net/http. Handlers have one more than
// there are CPUs: those that compute for long take as many as there are, and the others go on beside them. On one CPU they
// take turns: a third thread costs every event a twentieth.
func tune(cpus, shards, workers int) tuning {
	t := tuning{shards: shards}
	if t.shards == 0 {
		t.shards = cpus
	}
	handlers := cpus
	if cpus > 1 {
		handlers++
	}
	t.procs = t.shards + max(min(workers, handlers), 1)
	if runtime.GOOS == "linux" {
		t.nice = workerNice
	}
	return t
}

// containerMemory is the cgroup's limit, unless it is above what the machine has: then it limits nothing.
func containerMemory() (uint64, error) {
	limit, err := memlimit.FromCgroup()
	if err != nil {
		return 0, err
	}
	if machine, err := memlimit.FromSystem(); err == nil && limit > machine {
		return 0, memlimit.ErrNoLimit
	}
	return limit, nil
}

// apply changes the running process and says what is in force now.
func (t tuning) apply(log *slog.Logger) {
	runtime.GOMAXPROCS(t.procs)
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(containerMemory), memlimit.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Debug("GOMEMLIMIT stays as it is", "error", err)
	}
	limit := slog.String("gomemlimit", "none")
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		limit = slog.Int64("gomemlimit", n)
	}
	log.Info("sharing the machine", "cpus", runtime.NumCPU(), "shards", t.shards, "gomaxprocs", t.procs, limit, "worker_nice", t.nice)
}
