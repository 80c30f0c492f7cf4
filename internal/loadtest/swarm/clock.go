package swarm

import "time"

// A clock of the process is tied once to the machine's: time.Now costs no system call.
var (
	clockEpoch = time.Now()
	clockBase  = machineNanos()
)

// Clock is monotonic microseconds, the same in every process of one machine (on Linux CLOCK_MONOTONIC; elsewhere the
// wall clock, read once).
func Clock() int64 { return nanos() / 1000 }

// nanos is Clock in nanoseconds.
func nanos() int64 { return clockBase + int64(time.Since(clockEpoch)) }
