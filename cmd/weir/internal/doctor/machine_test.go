package doctor_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// files are what a machine has under /. A value of gone takes a file away, denied makes it unreadable.
type files map[string]string

const (
	gone   = "\x00gone"
	denied = "\x00denied"
)

// stock is a machine with 256 GiB and 16 CPUs as a distribution leaves it, without systemd's own values, and a server
// that systemd started there without a word about limits.
func stock() files {
	return files{
		"proc/self/limits":  limits("1024", "4096", "1028000"),
		"proc/self/status":  "Name:\tweir\nCpus_allowed:\tffff\nCpus_allowed_list:\t0-15\nThreads:\t9\n",
		"proc/self/cgroup":  "0::/system.slice/weir.service\n",
		"proc/self/environ": "PATH=/usr/bin\x00HOME=/\x00",
		"proc/self/mountinfo": "22 27 0:21 / /proc rw,relatime - proc proc rw\n" +
			"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		"proc/meminfo": "MemTotal:       268435456 kB\nMemFree:        260000000 kB\nSwapTotal:       8388604 kB\n",

		"proc/sys/fs/nr_open":                                             "1048576\n",
		"proc/sys/fs/file-max":                                            "26378650\n",
		"proc/sys/fs/file-nr":                                             "1500\t0\t26378650\n",
		"proc/sys/vm/swappiness":                                          "60\n",
		"proc/sys/net/core/somaxconn":                                     "4096\n",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":                           "4096\n",
		"proc/sys/net/ipv4/tcp_syncookies":                                "1\n",
		"proc/sys/net/ipv4/ip_local_port_range":                           "32768\t60999\n",
		"proc/sys/net/ipv4/ip_local_reserved_ports":                       "\n",
		"proc/sys/net/ipv4/tcp_mem":                                       "3084000\t4112000\t6168000\n",
		"proc/sys/net/ipv4/tcp_wmem":                                      "4096\t16384\t4194304\n",
		"proc/sys/net/ipv4/tcp_notsent_lowat":                             "4294967295\n",
		"proc/sys/net/netfilter/nf_conntrack_max":                         "262144\n",
		"proc/sys/net/netfilter/nf_conntrack_count":                       "120\n",
		"proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established":     "432000\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",

		"sys/fs/cgroup/system.slice/weir.service/memory.max":      "max\n",
		"sys/fs/cgroup/system.slice/weir.service/memory.high":     "max\n",
		"sys/fs/cgroup/system.slice/weir.service/memory.swap.max": "max\n",
		"sys/fs/cgroup/system.slice/weir.service/cpu.max":         "max 100000\n",
		"sys/fs/cgroup/system.slice/weir.service/cpu.stat":        "usage_usec 5\nnr_periods 0\nnr_throttled 0\n",
		"sys/fs/cgroup/system.slice/weir.service/pids.max":        "4915\n",
		"sys/fs/cgroup/system.slice/memory.max":                   "max\n",
	}
}

// limits is /proc/PID/limits.
func limits(soft, hard, processes string) string {
	return fmt.Sprintf(`Limit                     Soft Limit           Hard Limit           Units
Max stack size            8388608              unlimited            bytes
Max processes             %s               %s               processes
Max open files            %s                %s                files
Max locked memory         8388608              8388608              bytes
`, processes, processes, soft, hard)
}

// with returns the files with others in their place.
func (f files) with(others files) files {
	f = maps.Clone(f)
	maps.Copy(f, others)
	return f
}

// machine is a Linux machine with these files.
func (f files) machine() doctor.Machine {
	root := fstest.MapFS{}
	for path, text := range f {
		if text != gone {
			root[path] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return doctor.Machine{
		System: "linux", Root: guarded{root, f}, PageSize: 4096,
		Disk: func(path string) (doctor.Disk, error) {
			return doctor.Disk{}, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
		},
		Try: func(path string) (doctor.Trial, error) {
			return doctor.Trial{}, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
		Clock: func() (bool, error) { return true, nil },
	}
}

// guarded refuses to open what is denied.
type guarded struct {
	fs.FS
	files files
}

func (g guarded) Open(name string) (fs.File, error) {
	if g.files[name] == denied {
		return nil, &fs.PathError{Op: "open", Path: name, Err: os.ErrPermission}
	}
	return g.FS.Open(name)
}

// needs are those of a configuration with defaults, for a number of connections.
func needs(connections int) doctor.Needs {
	return doctor.Needs{
		Connections: connections, Ports: []int{3000, 9393}, NotSentLowat: 4096, PingInterval: 25 * time.Second, Workers: 256,
		Broker: doctor.Broker{Name: "memory"}, Path: "/socket.io/", Namespace: "/",
	}
}

// find is the finding of one check.
func find(t *testing.T, r *doctor.Report, name string) doctor.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %v", name, r.Findings)
	return doctor.Finding{}
}

// verdict is what a check is expected to say.
type verdict struct {
	level doctor.Level
	found string // a part of it
	fix   string // a part of it; "" is not looked at
}

func (v verdict) check(t *testing.T, f doctor.Finding) {
	t.Helper()
	if f.Level != v.level || !strings.Contains(f.Found, v.found) || !strings.Contains(f.Fix, v.fix) {
		t.Errorf("%s: %v, found %q, fix %q; want %v, %q, %q", f.Name, f.Level, f.Found, f.Fix, v.level, v.found, v.fix)
	}
	complete(t, f)
}

// complete wants all that a reader needs.
func complete(t *testing.T, f doctor.Finding) {
	t.Helper()
	if f.Found == "" || f.Why == "" || f.Wanted == "" && f.Level != doctor.Unknown {
		t.Errorf("%s leaves something out: %+v", f.Name, f)
	}
	if bad := f.Level == doctor.Fail || f.Level == doctor.Warn; bad && f.Fix == "" {
		t.Errorf("%s is bad and has no fix: %+v", f.Name, f)
	}
	if f.Level == doctor.OK && f.Fix != "" {
		t.Errorf("%s is good and has a fix: %+v", f.Name, f)
	}
}
