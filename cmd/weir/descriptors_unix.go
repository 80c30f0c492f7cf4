//go:build linux || darwin

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// raiseDescriptors returns the limits in force afterwards, also with an error.
func raiseDescriptors() (descriptorLimits, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return descriptorLimits{}, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if l.Cur >= l.Max {
		return descriptorLimits{l.Cur, l.Max}, nil
	}
	raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		return descriptorLimits{l.Cur, l.Max}, fmt.Errorf("raise RLIMIT_NOFILE from %d to %d: %w", l.Cur, l.Max, err)
	}
	return descriptorLimits{raised.Cur, raised.Max}, nil
}
