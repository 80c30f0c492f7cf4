//go:build unix

package loadtest

import (
	"fmt"
	"syscall"
)

// raiseDescriptors raises this process's soft limit of descriptors to the hard one and returns what is in force.
func raiseDescriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of descriptors: %w", err)
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = limit.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil { // else the soft one has to do: more agents
			limit = raised
		}
	}
	return int(min(uint64(limit.Cur), 1<<30)), nil //nolint:unconvert,gosec // the type differs between systems
}
