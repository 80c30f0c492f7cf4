package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of CPU time in /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = time.Second / 100

// Usage is what a process has used so far, and holds.
type Usage struct {
	CPU      time.Duration // user and system, to 10 ms
	Resident int64         // bytes
	Peak     int64         // bytes resident at most so far
}

// ReadUsage reads /proc for a process.
func ReadUsage(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	u := Usage{}
	if u.CPU, err = cpuTime(stat); err == nil {
		u.Resident, err = statusBytes(status, "VmRSS:")
	}
	if err == nil {
		u.Peak, err = statusBytes(status, "VmHWM:")
	}
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// cpuTime is fields 14 and 15 of /proc/PID/stat. Field 2, the command's name, may hold spaces and brackets: counting
// begins behind the last bracket.
func cpuTime(stat []byte) (time.Duration, error) {
	const user, system = 14 - 3, 15 - 3
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("stat %.200q: too few fields", stat)
	}
	u, err := strconv.ParseInt(string(fields[user]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stat: user time: %w", err)
	}
	s, err := strconv.ParseInt(string(fields[system]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stat: system time: %w", err)
	}
	return time.Duration(u+s) * tick, nil
}

// statusBytes is one line of /proc/PID/status, which counts in units of 1024 bytes.
func statusBytes(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == name {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("status: no line " + name)
}
