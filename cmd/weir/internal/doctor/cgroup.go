package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// noLimit stands for limits that are not set.
const noLimit = 1<<63 - 1

// cgroup is where the settings of a controller are, for one process.
type cgroup struct {
	v2   bool
	dirs []string // from the process's own up to the mount; a limit of any of them holds
}

// mount is a line of /proc/PID/mountinfo.
type mount struct{ root, point, kind, options string }

// cgroup finds the groups of the process for a controller: of version 1 if the controller is mounted so, else of the
// unified hierarchy. Without any there are no directories.
func (m Machine) cgroup(controller string) (cgroup, error) {
	membership, err := m.text(m.ofProcess("cgroup"))
	if errors.Is(err, fs.ErrNotExist) && m.has(m.ofProcess("limits")) {
		return cgroup{}, nil // a kernel without cgroups
	}
	if err != nil {
		return cgroup{}, err
	}
	mounts, err := m.mounts()
	if err != nil {
		return cgroup{}, err
	}
	var unified string
	for line := range strings.Lines(membership) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, where, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
			return cgroup{}, fmt.Errorf("read /%s: %q is not a group", m.ofProcess("cgroup"), line)
		case id == "0":
			unified = where
		case slices.Contains(strings.Split(controllers, ","), controller):
			return below(mounts, where, func(at mount) bool {
				return at.kind == "cgroup" && slices.Contains(strings.Split(at.options, ","), controller)
			})
		}
	}
	if unified == "" {
		return cgroup{}, nil
	}
	g, err := below(mounts, unified, func(at mount) bool { return at.kind == "cgroup2" })
	g.v2 = true
	return g, err
}

// below is the way from a group to the mount it is seen through.
func below(mounts []mount, where string, fits func(mount) bool) (cgroup, error) {
	i := slices.IndexFunc(mounts, fits)
	if i < 0 {
		return cgroup{}, errors.New("the cgroups of the process are not mounted here")
	}
	at := mounts[i]
	// In a container the mount shows the host's tree from its root down, or, in a namespace of its own, from "/".
	rel, inside := strings.CutPrefix(where, strings.TrimSuffix(at.root, "/"))
	if !inside {
		rel = ""
	}
	top := strings.TrimPrefix(at.point, "/")
	dir := path.Join(top, path.Clean("/"+rel))
	g := cgroup{dirs: []string{dir}}
	for dir != top {
		dir = path.Dir(dir)
		g.dirs = append(g.dirs, dir)
	}
	return g, nil
}

// mounts reads what is mounted for the process (proc(5)):
//
//	36 35 98:0 /root /point rw,noatime master:1 - kind source options
func (m Machine) mounts() ([]mount, error) {
	text, err := m.text(m.ofProcess("mountinfo"))
	if err != nil {
		return nil, err
	}
	var list []mount
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 6 || len(right) < 3 {
			continue // not of a kernel we know; what is missed shows as "not mounted"
		}
		list = append(list, mount{root: left[3], point: left[4], kind: right[0], options: right[2]})
	}
	return list, nil
}

// least is the smallest limit of the groups on the way up in a file of that name. Files that are missing and "max" are
// no limit.
func (g cgroup) least(m Machine, file string) (int64, error) {
	least := int64(noLimit)
	for _, dir := range g.dirs {
		text, err := m.text(path.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) || (err == nil && text == "max") {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := whole(text)
		if err != nil {
			return 0, fmt.Errorf("read /%s: %w", path.Join(dir, file), err)
		}
		least = min(least, n)
	}
	return least, nil
}

// cgroupLimit is the smallest limit of a controller in a file that both versions call the same.
func (m Machine) cgroupLimit(controller, file string) (int64, error) {
	g, err := m.cgroup(controller)
	if err != nil {
		return 0, err
	}
	return g.least(m, file)
}

// memoryLimits are the memory beyond which the cgroup is killed, and that from which on it is slowed down: noLimit where
// there is none.
func (m Machine) memoryLimits() (most, high int64, err error) {
	g, err := m.cgroup("memory")
	if err != nil {
		return 0, 0, err
	}
	if g.v2 {
		if most, err = g.least(m, "memory.max"); err == nil {
			high, err = g.least(m, "memory.high")
		}
		return most, high, err
	}
	most, err = g.least(m, "memory.limit_in_bytes")
	if most >= noLimit/m.PageSize*m.PageSize { // how version 1 says "none"
		most = noLimit
	}
	return most, noLimit, err
}

// quota is the CPU time of the cgroup in CPUs, 0 for as much as there is.
func (m Machine) quota() (float64, error) {
	g, err := m.cgroup("cpu")
	if err != nil {
		return 0, err
	}
	least := 0.0
	for _, dir := range g.dirs {
		runtime, period, err := g.bandwidth(m, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if cpus := float64(runtime) / float64(period); runtime != noLimit && (least == 0 || cpus < least) {
			least = cpus
		}
	}
	return least, nil
}

// bandwidth is how many microseconds of CPU time a group gets in each period.
func (g cgroup) bandwidth(m Machine, dir string) (runtime, period int64, err error) {
	words := [2]string{}
	if g.v2 {
		text, err := m.text(path.Join(dir, "cpu.max"))
		if err != nil {
			return 0, 0, err
		}
		words[0], words[1], _ = strings.Cut(text, " ")
	} else {
		for i, file := range []string{"cpu.cfs_quota_us", "cpu.cfs_period_us"} {
			if words[i], err = m.text(path.Join(dir, file)); err != nil {
				return 0, 0, err
			}
		}
	}
	if words[0] == "max" || words[0] == "-1" {
		return noLimit, 1, nil
	}
	if runtime, err = whole(words[0]); err == nil {
		period, err = whole(words[1])
	}
	if err == nil && (runtime == 0 || period == 0) {
		err = fmt.Errorf("a period of %d with %d", period, runtime)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the CPU limit in /%s: %w", dir, err)
	}
	return runtime, period, nil
}

// throttled is the share of periods in which the group's own quota was used up, 0 if nobody counts.
func (m Machine) throttled() (float64, error) {
	g, err := m.cgroup("cpu")
	if err != nil || len(g.dirs) == 0 {
		return 0, err
	}
	text, err := m.text(path.Join(g.dirs[0], "cpu.stat"))
	if err != nil {
		return 0, err
	}
	var periods, throttled float64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := whole(value)
		if err != nil {
			continue // lines of later kernels
		}
		switch name {
		case "nr_periods":
			periods = float64(n)
		case "nr_throttled":
			throttled = float64(n)
		}
	}
	if periods == 0 {
		return 0, nil
	}
	return throttled / periods, nil
}
