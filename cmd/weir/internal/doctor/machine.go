package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is what is known of the machine, as one process on it sees it.
type Machine struct {
	System   string // runtime.GOOS
	Root     fs.FS  // rooted at /
	PID      int    // the process whose limits count; 0: the one that asks
	PageSize int64  // bytes

	Disk  func(path string) (Disk, error)     // facts of a directory
	Try   func(path string) (Trial, error)    // writes into it, and removes what it has written
	Clock func() (synchronised bool, _ error) // whether somebody sets it
	Now   func() time.Time
}

// ThisMachine is the machine it runs on, with the limits of a process, 0 for its own.
func ThisMachine(pid int) Machine {
	return Machine{
		System: runtime.GOOS, Root: os.DirFS("/"), PID: pid, PageSize: int64(os.Getpagesize()),
		Disk: disk, Try: tryPatiently, Clock: clockSynchronised, Now: time.Now,
	}
}

// text reads a small file, path from the root without the first slash.
func (m Machine) text(path string) (string, error) {
	b, err := fs.ReadFile(m.Root, path)
	if err != nil {
		return "", cannotRead(path, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// cannotRead says "/proc/…: permission denied", whatever file system it was.
func cannotRead(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("read /%s: %w", path, err)
}

// has reports whether a file is there.
func (m Machine) has(path string) bool {
	_, err := fs.Stat(m.Root, path)
	return err == nil
}

// numbers reads a file of at least n integers.
func (m Machine) numbers(path string, n int) ([]int64, error) {
	text, err := m.text(path)
	if err != nil {
		return nil, err
	}
	var list []int64
	for _, word := range strings.Fields(text) {
		number, err := whole(word)
		if err != nil {
			return nil, fmt.Errorf("read /%s: %w", path, err)
		}
		list = append(list, number)
	}
	if len(list) < n {
		return nil, fmt.Errorf("read /%s: %q, want %d numbers", path, text, n)
	}
	return list, nil
}

// whole reads a number that is not negative. What is beyond int64, as the kernel writes "no limit" here and there, is
// the largest int64.
func whole(word string) (int64, error) {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", word)
	}
	return int64(min(n, 1<<63-1)), nil
}

func (m Machine) number(path string) (int64, error) {
	list, err := m.numbers(path, 1)
	if err != nil {
		return 0, err
	}
	return list[0], nil
}

// sysctl is the file of a kernel setting.
func sysctl(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// setSysctl is the fix for a kernel setting.
func setSysctl(name, value string) string {
	if strings.ContainsRune(value, ' ') {
		value = `"` + value + `"`
	}
	return fmt.Sprintf("sudo sysctl -w %s=%s   (to stay: deploy/60-weir.conf)", name, value)
}

// ofProcess is a file of the process whose limits count.
func (m Machine) ofProcess(name string) string {
	if m.PID == 0 {
		return "proc/self/" + name
	}
	return fmt.Sprintf("proc/%d/%s", m.PID, name)
}

// limit reads a resource limit of the process by its name in /proc/PID/limits. Unlimited is the largest int64.
func (m Machine) limit(name string) (soft, hard int64, err error) {
	path := m.ofProcess("limits")
	text, err := m.text(path)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+" ")
		words := strings.Fields(rest)
		if !ok || len(words) < 2 {
			continue
		}
		if soft, err = limitValue(words[0]); err == nil {
			hard, err = limitValue(words[1])
		}
		return soft, hard, err
	}
	return 0, 0, fmt.Errorf("read /%s: it has no %q", path, name)
}

func limitValue(word string) (int64, error) {
	if word == "unlimited" {
		return 1<<63 - 1, nil
	}
	return whole(word)
}

// environment reads a variable of the process as it was started.
func (m Machine) environment(name string) (value string, set bool, err error) {
	path := m.ofProcess("environ")
	b, err := fs.ReadFile(m.Root, path)
	if err != nil {
		return "", false, cannotRead(path, err)
	}
	for line := range strings.SplitSeq(string(b), "\x00") {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value, true, nil
		}
	}
	return "", false, nil
}

// cpus is how many CPUs the process may run on.
func (m Machine) cpus() (int, error) {
	path := m.ofProcess("status")
	text, err := m.text(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return cpusIn(strings.TrimSpace(list))
		}
	}
	return 0, fmt.Errorf("read /%s: it has no Cpus_allowed_list", path)
}

// cpusIn counts a list such as 0-3,8.
func cpusIn(list string) (int, error) {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil || to < from {
			return 0, fmt.Errorf("%q is not a list of CPUs", list)
		}
		n += to - from + 1
	}
	return n, nil
}

// meminfo reads a line of /proc/meminfo, in bytes.
func (m Machine) meminfo(name string) (int64, error) {
	const path = "proc/meminfo"
	text, err := m.text(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			words := strings.Fields(rest)
			if len(words) == 0 {
				break
			}
			kib, err := whole(words[0])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("read /%s: it has no %q", path, name)
}
