//go:build linux || darwin

package guard

import "golang.org/x/sys/unix"

// openFiles is the soft limit of descriptors now, 0 if it cannot be known.
func openFiles() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}
