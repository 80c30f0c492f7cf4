package swarm

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineNanos is CLOCK_MONOTONIC at the moment of clockEpoch. A thread that loses its CPU between the two clocks makes
// that moment too early, so the latest of some counts.
func machineNanos() (latest int64) {
	for range 16 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			panic("swarm: CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
		}
		latest = max(latest, now.Nano()-int64(time.Since(clockEpoch)))
	}
	return latest
}

// threadTime is the CPU time the calling thread has used.
func threadTime() time.Duration {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		return 0
	}
	return time.Duration(used.Nano())
}
