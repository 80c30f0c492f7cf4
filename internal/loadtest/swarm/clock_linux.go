package swarm

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineNanos is CLOCK_MONOTONIC at the moment of clockEpoch.
func machineNanos() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("swarm: CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
	}
	return now.Nano() - int64(time.Since(clockEpoch))
}

// threadTime is the CPU time the calling thread has used.
func threadTime() time.Duration {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		return 0
	}
	return time.Duration(used.Nano())
}
