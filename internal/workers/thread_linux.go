package workers

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// NiceSupported says whether Options.Nice can be enforced here: Linux gives every thread its own niceness.
const NiceSupported = true

// setThreadNice sets the niceness of the calling thread: on Linux "process 0" means it alone (setpriority(2), NOTES).
func setThreadNice(nice int) error {
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice)
}

// threadID is the calling thread's.
func threadID() int { return unix.Gettid() }

// openStatus opens the status of the calling thread, for asleep; nil if that cannot be had: no /proc, or no descriptor left.
func openStatus() *os.File {
	f, err := os.Open("/proc/thread-self/stat")
	if err != nil {
		return nil
	}
	return f
}

// asleep reports whether a thread of this process neither runs nor waits for a processor (proc(5), stat); known is false
// if that cannot be found out. status is the thread's, or nil: then it is opened and closed, which costs three times as much.
func asleep(thread int, status *os.File) (asleep, known bool) {
	if status == nil {
		f, err := os.Open("/proc/self/task/" + strconv.Itoa(thread) + "/stat")
		if err != nil {
			return false, false
		}
		defer f.Close() //nolint:errcheck // it was only read
		status = f
	}
	var b [64]byte // the id and the name, which is 15 bytes at most, come before the state
	n, _ := status.ReadAt(b[:], 0)
	i := bytes.LastIndexByte(b[:n], ')')
	if i < 0 || i+2 >= n {
		return false, false
	}
	return b[i+2] != 'R', true
}

// threadTime is the processor time a thread of this process has used. The number of its clock is what
// pthread_getcpuclockid(3) makes of its id.
func threadTime(thread int) time.Duration {
	const perThread, scheduled = 4, 2
	var t unix.Timespec
	if unix.ClockGettime(int32(^thread<<3|perThread|scheduled), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
