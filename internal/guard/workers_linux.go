package guard

import "syscall"

// NiceSupported says whether WorkersOptions.Nice can be enforced here: Linux gives every thread its own niceness.
const NiceSupported = true

// setThreadNice sets the niceness of the calling thread: on Linux "process 0" means it alone (setpriority(2), NOTES).
func setThreadNice(nice int) error {
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice)
}
