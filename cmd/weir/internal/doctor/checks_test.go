package doctor_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/vfs"
)

// group is where the server of the stock machine has its limits.
const group = "sys/fs/cgroup/system.slice/weir.service/"

const sourceDir = "sys/devices/system/clocksource/clocksource0/"

// Every level of every check of the machine. The others are about what must be tried: see the tests beside this one.
func TestChecksOfTheMachine(t *testing.T) {
	const fail, warn, unknown, ok = doctor.Fail, doctor.Warn, doctor.Unknown, doctor.OK
	for _, c := range []struct {
		name  string
		needs func(*doctor.Needs)
		files files
		verdict
	}{
		{"descriptors", at(5000), nil, verdict{fail, "soft 1,024, hard 4,096: room for 4,032 clients", "LimitNOFILE=5064"}},
		{"descriptors", func(n *doctor.Needs) { n.Connections, n.Journal.Path = 5000, "/var/lib/weir/journal" }, nil, verdict{fail, "room for 3,824 clients", "LimitNOFILE=5272"}},
		{"descriptors", at(4032), nil, verdict{ok, "hard 4,096", ""}},
		{"descriptors", at(4033), nil, verdict{fail, "hard 4,096", "LimitNOFILE=4097"}},
		{"descriptors", assumed(5000), nil, verdict{warn, "hard 4,096", ""}},
		{"descriptors", at(5000), files{"proc/self/limits": limits("1024", "unlimited", "9000")}, verdict{ok, "hard", ""}},
		{"descriptors", at(5000), files{"proc/self/limits": denied}, verdict{unknown, "read /proc/self/limits: permission denied", ""}},
		{"descriptors", at(5000), files{"proc/self/limits": "Max open files  many  more files\n"}, verdict{unknown, `"many" is not a number`, ""}},
		{"descriptors", at(5000), files{"proc/self/limits": "Max stack size  1  1 bytes\n"}, verdict{unknown, `no "Max open files"`, ""}},

		{"fs.nr_open", at(1048512), nil, verdict{ok, "1,048,576", ""}},
		{"fs.nr_open", at(1048513), nil, verdict{fail, "1,048,576", "sudo sysctl -w fs.nr_open=1048577"}},
		{"fs.nr_open", assumed(1048513), nil, verdict{warn, "1,048,576", ""}},
		{"fs.nr_open", at(10), files{"proc/sys/fs/nr_open": gone}, verdict{unknown, "does not exist", ""}},

		{"fs.file-max", at(1000), files{"proc/sys/fs/file-max": "2564\n"}, verdict{ok, "2,564, 1,500 in use", ""}},
		{"fs.file-max", at(1000), files{"proc/sys/fs/file-max": "2563\n"}, verdict{fail, "2,563", "fs.file-max=5128"}},
		{"fs.file-max", assumed(1000), files{"proc/sys/fs/file-max": "2563\n"}, verdict{warn, "2,563", ""}},
		{"fs.file-max", at(1000), files{"proc/sys/fs/file-max": "9223372036854775807\n"}, verdict{ok, "", ""}},
		{"fs.file-max", at(1000), files{"proc/sys/fs/file-nr": "\n"}, verdict{unknown, "want 1 numbers", ""}},

		{"threads", nil, nil, verdict{ok, "4,915 (pids.max of the cgroup)", ""}},
		{"threads", nil, files{group + "pids.max": "100\n"}, verdict{fail, "100 (pids.max", "TasksMax=672"}},
		{"threads", nil, files{group + "pids.max": "max\n", "proc/self/limits": limits("1", "1", "300")}, verdict{fail, "300 (processes", "LimitNPROC=672"}},
		{"threads", nil, files{group + "pids.max": gone, "proc/self/limits": limits("1", "1", "unlimited")}, verdict{ok, "no limit", ""}},
		{"threads", nil, files{"proc/self/status": "Name: x\n"}, verdict{unknown, "Cpus_allowed_list", ""}},
		{"threads", nil, files{"proc/self/status": "Cpus_allowed_list:\tall\n"}, verdict{unknown, `"all" is not a list of CPUs`, ""}},
		{"threads", nil, files{group + "pids.max": denied}, verdict{unknown, "permission denied", ""}},

		{"net.core.somaxconn", nil, nil, verdict{ok, "4,096", ""}},
		{"net.core.somaxconn", nil, files{"proc/sys/net/core/somaxconn": "128\n"}, verdict{warn, "128", "net.core.somaxconn=4096"}},
		{"net.core.somaxconn", at(1000000), nil, verdict{warn, "4,096", "net.core.somaxconn=10000"}},
		{"net.core.somaxconn", at(100000000), nil, verdict{warn, "4,096", "net.core.somaxconn=65535"}},
		{"net.core.somaxconn", nil, files{"proc/sys/net/core/somaxconn": gone}, verdict{unknown, "/proc/sys/net/core/somaxconn", ""}},

		{"net.ipv4.tcp_max_syn_backlog", nil, nil, verdict{ok, "4,096", ""}},
		{"net.ipv4.tcp_max_syn_backlog", at(1000000), nil, verdict{ok, "4,096, SYN cookies on", ""}},
		{"net.ipv4.tcp_max_syn_backlog", at(1000000), files{"proc/sys/net/ipv4/tcp_syncookies": "0\n"}, verdict{warn, "off", "=10000"}},
		{"net.ipv4.tcp_max_syn_backlog", at(1000000), files{"proc/sys/net/ipv4/tcp_syncookies": gone}, verdict{warn, "no SYN cookies", "=10000"}},
		{"net.ipv4.tcp_max_syn_backlog", at(1000000), files{"proc/sys/net/ipv4/tcp_syncookies": denied}, verdict{unknown, "tcp_syncookies", ""}},
		{"net.ipv4.tcp_max_syn_backlog", nil, files{"proc/sys/net/ipv4/tcp_max_syn_backlog": denied}, verdict{unknown, "denied", ""}},

		{"net.ipv4.ip_local_port_range", at(28232), nil, verdict{ok, "32768 to 60999, 28,232 ports", ""}},
		{"net.ipv4.ip_local_port_range", at(28233), nil, verdict{warn, "28,232 ports", `net.ipv4.ip_local_port_range="10240 65535"`}},
		{"net.ipv4.ip_local_port_range", ports(3000, 40000, 40001), nil, verdict{warn, "among them 40000,40001", "reserved_ports=40000,40001"}},
		{"net.ipv4.ip_local_port_range", ports(3000, 40000, 40001),
			files{"proc/sys/net/ipv4/ip_local_reserved_ports": "8080,39999-40001\n"}, verdict{ok, "28,232", ""}},
		{"net.ipv4.ip_local_port_range", nil, files{"proc/sys/net/ipv4/ip_local_port_range": "32768\n"}, verdict{unknown, "want 2 numbers", ""}},
		{"net.ipv4.ip_local_port_range", nil, files{"proc/sys/net/ipv4/ip_local_reserved_ports": "all\n"}, verdict{unknown, "not a list of ports", ""}},
		{"net.ipv4.ip_local_port_range", nil, files{"proc/sys/net/ipv4/ip_local_reserved_ports": gone}, verdict{unknown, "reserved_ports", ""}},

		// 100,000 clients hold 17 pages each when they stall: 1,700,000 pages; a tenth of them 170,000.
		{"net.ipv4.tcp_mem", at(100000), mem(1, 170000, 1700000), verdict{ok, "refuses at 6.5 GiB", ""}},
		{"net.ipv4.tcp_mem", at(100000), mem(1, 169999, 1700000), verdict{warn, "", `tcp_mem="850000 1275000 1700000"`}},
		{"net.ipv4.tcp_mem", at(100000), mem(1, 170000, 1699999), verdict{warn, "", ""}},
		{"net.ipv4.tcp_mem", at(100000), mem(1, 2, 170000), verdict{warn, "", ""}},
		{"net.ipv4.tcp_mem", at(100000), mem(1, 2, 169999), verdict{fail, "refuses at 664 MiB", "deploy/60-weir.conf"}},
		{"net.ipv4.tcp_mem", assumed(100000), mem(1, 2, 169999), verdict{warn, "refuses", ""}},
		{"net.ipv4.tcp_mem", at(10000000), mem(1, 2, 17000000), verdict{warn, "the machine has 256 GiB in all", "fewer connections"}},
		{"net.ipv4.tcp_mem", at(10000000), nil, verdict{fail, "in all", "fewer connections"}},
		{"net.ipv4.tcp_mem", at(1000), mem(1, 2000000, 67108864), verdict{warn, "more than the machine has", "17000"}},
		{"net.ipv4.tcp_mem", kernelLowat(1000), nil, verdict{ok, "", ""}}, // 1,000 x 4 MiB
		{"net.ipv4.tcp_mem", kernelLowat(10000), nil, verdict{warn, "", ""}},
		{"net.ipv4.tcp_mem", nil, files{"proc/sys/net/ipv4/tcp_mem": "1 2\n"}, verdict{unknown, "want 3 numbers", ""}},
		{"net.ipv4.tcp_mem", nil, files{"proc/meminfo": "MemFree: 1 kB\n"}, verdict{unknown, `no "MemTotal"`, ""}},

		{"net.ipv4.tcp_wmem", nil, nil, verdict{ok, "4096 16384 4194304", ""}},
		{"net.ipv4.tcp_wmem", nil, files{"proc/sys/net/ipv4/tcp_wmem": "4096 16384 131072"}, verdict{warn, "131072", `="4096 16384 4194304"`}},
		{"net.ipv4.tcp_wmem", nil, files{"proc/sys/net/ipv4/tcp_wmem": "a b c"}, verdict{unknown, `"a" is not a number`, ""}},

		{"net.ipv4.tcp_notsent_lowat", nil, nil, verdict{ok, "notSentLowatBytes 4,096 (system: no bound)", ""}},
		{"net.ipv4.tcp_notsent_lowat", lowat(16384), nil, verdict{warn, "16,384", "notSentLowatBytes: 4096"}},
		{"net.ipv4.tcp_notsent_lowat", lowat(0), nil, verdict{warn, "leaves it to the system: no bound", "notSentLowatBytes: 4096"}},
		{"net.ipv4.tcp_notsent_lowat", lowat(0), files{"proc/sys/net/ipv4/tcp_notsent_lowat": "8192"}, verdict{ok, "8,192", ""}},
		{"net.ipv4.tcp_notsent_lowat", lowat(0), files{"proc/sys/net/ipv4/tcp_notsent_lowat": gone}, verdict{unknown, "tcp_notsent_lowat", ""}},
		{"net.ipv4.tcp_notsent_lowat", nil, files{"proc/sys/net/ipv4/tcp_notsent_lowat": gone}, verdict{ok, "4,096 (system: unknown)", ""}},

		{"nf_conntrack", at(131072), nil, verdict{ok, "room for 262,144, 120 in use", ""}},
		{"nf_conntrack", at(131073), nil, verdict{warn, "262,144", "nf_conntrack_max=262266"}},
		{"nf_conntrack", at(262145), nil, verdict{fail, "262,144", "deploy/60-weir.conf"}},
		{"nf_conntrack", assumed(262145), nil, verdict{warn, "262,144", ""}},
		{"nf_conntrack", at(10), files{"proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established": "25"},
			verdict{fail, "forgotten after 25 s", "timeout_established=432000"}},
		{"nf_conntrack", at(10), files{"proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established": "26"}, verdict{ok, "", ""}},
		{"nf_conntrack", nil, files{"proc/sys/net/netfilter/nf_conntrack_max": gone}, verdict{ok, "not loaded", ""}},
		{"nf_conntrack", nil, files{"proc/sys/net/netfilter/nf_conntrack_max": denied}, verdict{unknown, "denied", ""}},
		{"nf_conntrack", nil, files{"proc/sys/net/netfilter/nf_conntrack_count": gone}, verdict{unknown, "nf_conntrack_count", ""}},

		{"memory", at(1000000), nil, verdict{ok, "256 GiB of the machine", ""}},
		{"memory", at(10000), files{group + "memory.max": "1073741824"}, verdict{ok, "1 GiB of the cgroup", ""}},
		{"memory", at(25000), files{group + "memory.max": "1073741824"}, verdict{warn, "1 GiB of the cgroup", "MemoryMax="}},
		{"memory", at(25000), files{group + "memory.high": "1073741824"}, verdict{warn, "1 GiB of the cgroup", ""}},
		{"memory", at(25000), files{"sys/fs/cgroup/system.slice/memory.max": "1073741824"}, verdict{warn, "1 GiB of the cgroup", ""}},
		{"memory", at(25000), files{group + "memory.max": "1073741824", "sys/fs/cgroup/system.slice/memory.max": "68719476736"}, verdict{warn, "1 GiB of the cgroup", ""}},
		{"memory", at(70000), files{group + "memory.max": "1073741824"}, verdict{fail, "not enough for idle connections", "fewer connections"}},
		{"memory", assumed(70000), files{group + "memory.max": "1073741824"}, verdict{warn, "not enough", ""}},
		{"memory", budget(2 << 30), files{group + "memory.max": "1073741824"}, verdict{fail, "the budget is larger", "memory.budgetBytes"}},
		{"memory", budget(1 << 29), files{group + "memory.max": "1073741824"}, verdict{warn, "1 GiB", ""}},
		{"memory", budget(-1), nil, verdict{warn, "nothing bounds what waits", "memory.budgetBytes: 0"}},
		{"memory", nil, files{group + "memory.max": "plenty"}, verdict{unknown, `"plenty" is not a number`, ""}},
		{"memory", nil, files{"proc/meminfo": gone}, verdict{unknown, "/proc/meminfo", ""}},

		{"GOMEMLIMIT", nil, nil, verdict{ok, "no limit below the machine's memory", ""}},
		{"GOMEMLIMIT", nil, files{group + "memory.max": "1073741824"}, verdict{ok, "serve sets 922 MiB of 1 GiB", ""}},
		{"GOMEMLIMIT", nil, limited("AUTOMEMLIMIT=0.5"), verdict{ok, "serve sets 512 MiB of 1 GiB", ""}},
		{"GOMEMLIMIT", nil, limited("AUTOMEMLIMIT=off"), verdict{warn, "AUTOMEMLIMIT=off: serve sets none", "unset"}},
		{"GOMEMLIMIT", nil, limited("AUTOMEMLIMIT=1.5"), verdict{warn, "AUTOMEMLIMIT=1.5", "unset"}},
		{"GOMEMLIMIT", nil, limited("GOMEMLIMIT=900MiB"), verdict{ok, "GOMEMLIMIT=900MiB", ""}},
		{"GOMEMLIMIT", nil, limited("GOMEMLIMIT=1GiB"), verdict{warn, "the cgroup has 1 GiB", "unset"}},
		{"GOMEMLIMIT", nil, limited("GOMEMLIMIT=off"), verdict{warn, "GOMEMLIMIT=off", "unset"}},
		{"GOMEMLIMIT", budget(1 << 29), limited("GOMEMLIMIT=536870911"), verdict{warn, "below memory.budgetBytes, 512 MiB", ""}},
		{"GOMEMLIMIT", budget(1 << 29), limited("GOMEMLIMIT=536870912B"), verdict{ok, "", ""}},
		{"GOMEMLIMIT", nil, limited("GOMEMLIMIT=1 GB"), verdict{unknown, "not one of Go's", ""}},
		{"GOMEMLIMIT", nil, files{"proc/self/environ": "GOMEMLIMIT=8GiB\x00"}, verdict{ok, "GOMEMLIMIT=8GiB", ""}},
		{"GOMEMLIMIT", nil, files{group + "memory.max": "2147483648", group + "memory.high": "1073741824"},
			verdict{warn, "slowed down from memory.high on, 1 GiB", "GOMEMLIMIT=966367641"}},
		{"GOMEMLIMIT", nil, files{"proc/self/environ": denied}, verdict{unknown, "/proc/self/environ", ""}},

		{"swap", nil, nil, verdict{warn, "8 GiB, vm.swappiness 60", "MemorySwapMax=0 in the unit"}},
		{"swap", nil, files{"proc/sys/vm/swappiness": "10"}, verdict{ok, "vm.swappiness 10", ""}},
		{"swap", nil, files{group + "memory.swap.max": "0"}, verdict{ok, "none of it for this cgroup", ""}},
		{"swap", nil, files{"proc/meminfo": "MemTotal: 1 kB\nSwapTotal: 0 kB\n"}, verdict{ok, "none", ""}},
		{"swap", nil, files{"proc/sys/vm/swappiness": gone}, verdict{unknown, "swappiness", ""}},

		{"cpu", nil, nil, verdict{ok, "16 CPUs, no quota", ""}},
		{"cpu", nil, files{"proc/self/environ": "GOMAXPROCS=32\x00"}, verdict{warn, "GOMAXPROCS 32 on 16 CPUs", "GOMAXPROCS=16"}},
		{"cpu", nil, files{"proc/self/environ": "GOMAXPROCS=many\x00"}, verdict{ok, "16 CPUs", ""}},
		{"cpu", nil, files{group + "cpu.max": "200000 100000"}, verdict{ok, "a quota of 2 of 16 CPUs", ""}},
		{"cpu", nil, files{group + "cpu.max": "250000 100000", "proc/self/environ": "GOMAXPROCS=3\x00"}, verdict{ok, "a quota of 2.5", ""}},
		{"cpu", nil, files{group + "cpu.max": "250000 100000", "proc/self/environ": "GOMAXPROCS=4\x00"}, verdict{warn, "GOMAXPROCS 4 with", "unset"}},
		{"cpu", nil, files{group + "cpu.max": "100000 100000", "proc/self/environ": "GOMAXPROCS=2\x00"}, verdict{ok, "a quota of 1 of", ""}},
		{"cpu", nil, files{group + "cpu.max": "50000 100000"}, verdict{warn, "a quota of 0.5", "CPUQuota=100%"}},
		{"cpu", nil, files{"sys/fs/cgroup/system.slice/cpu.max": "50000 100000", group + "cpu.max": "400000 100000"}, verdict{warn, "a quota of 0.5", ""}},
		{"cpu", nil, files{group + "cpu.max": "200000 100000", group + "cpu.stat": "nr_periods 100\nnr_throttled 12\n"},
			verdict{warn, "used up in 12 % of the periods", "a higher quota"}},
		{"cpu", nil, files{group + "cpu.max": "200000 100000", group + "cpu.stat": gone}, verdict{unknown, "whether it was ever used up", ""}},
		{"cpu", nil, files{group + "cpu.max": "0 100000"}, verdict{unknown, "CPU limit", ""}},
		{"cpu", nil, files{"proc/self/status": gone}, verdict{unknown, "/proc/self/status", ""}},

		{"clock source", nil, nil, verdict{ok, "tsc", ""}},
		{"clock source", nil, files{sourceDir + "current_clocksource": "kvm-clock"}, verdict{ok, "kvm-clock", ""}},
		{"clock source", nil, files{sourceDir + "current_clocksource": "hpet", sourceDir + "available_clocksource": "hpet acpi_pm "},
			verdict{warn, "hpet", "boot with tsc=reliable"}},
		{"clock source", nil, files{sourceDir + "current_clocksource": "hpet", sourceDir + "available_clocksource": "tsc hpet acpi_pm "},
			verdict{warn, "hpet", "echo tsc | sudo tee /" + sourceDir + "current_clocksource"}},
		{"clock source", nil, files{sourceDir + "current_clocksource": "sundial"}, verdict{unknown, "sundial", ""}},
		{"clock source", nil, files{sourceDir + "current_clocksource": gone}, verdict{unknown, "clocksource", ""}},
	} {
		t.Run(fmt.Sprintf("%s/%v/%s", c.name, c.level, c.found), func(t *testing.T) {
			n := needs(10000)
			if c.needs != nil {
				c.needs(&n)
			}
			r := doctor.Examine(t.Context(), stock().with(c.files).machine(), n, nil)
			c.check(t, find(t, r, c.name))
		})
	}
}

func at(connections int) func(*doctor.Needs) {
	return func(n *doctor.Needs) { n.Connections = connections }
}

func assumed(connections int) func(*doctor.Needs) {
	return func(n *doctor.Needs) { n.Connections, n.Assumed = connections, true }
}

func ports(ports ...int) func(*doctor.Needs) { return func(n *doctor.Needs) { n.Ports = ports } }

func lowat(bytes int) func(*doctor.Needs) { return func(n *doctor.Needs) { n.NotSentLowat = bytes } }

func kernelLowat(connections int) func(*doctor.Needs) {
	return func(n *doctor.Needs) { n.Connections, n.NotSentLowat = connections, 0 }
}

func budget(bytes int64) func(*doctor.Needs) { return func(n *doctor.Needs) { n.BudgetBytes = bytes } }

func mem(low, pressure, most int) files {
	return files{"proc/sys/net/ipv4/tcp_mem": fmt.Sprintf("%d\t%d\t%d\n", low, pressure, most)}
}

// limited is a cgroup of 1 GiB, and a variable of the environment.
func limited(variable string) files {
	return files{group + "memory.max": "1073741824", "proc/self/environ": "A=1\x00" + variable + "\x00"}
}

// Where the cgroups of a process are, in all the ways machines mount them.
func TestCgroupsAreFound(t *testing.T) {
	const gib = "1073741824\n"
	v1 := "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"35 31 0:32 ROOT /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"32 31 0:29 ROOT /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for _, c := range []struct {
		name        string
		files       files
		memory, cpu string // part of what was found
	}{
		{"v2 seen from inside a container", files{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": gib, "sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.stat": "nr_periods 9\n",
		}, "1 GiB of the cgroup", "a quota of 1.5"},
		{"v2 that shows the host's tree", files{
			"proc/self/cgroup":         "0::/docker/abc\n",
			"proc/self/mountinfo":      "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory.max": gib,
		}, "1 GiB of the cgroup", "no quota"},
		{"v1 beside v2 without controllers", files{
			"proc/self/cgroup":    "4:memory:/pod/abc\n3:cpu,cpuacct:/pod\n0::/\n",
			"proc/self/mountinfo": replaceRoot(v1, "/"),
			"sys/fs/cgroup/memory/pod/abc/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/pod/memory.limit_in_bytes":     gib,
			"sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us":     "300000\n",
			"sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us":    "100000\n",
			"sys/fs/cgroup/cpu,cpuacct/pod/cpu.stat":             "nr_periods 5\nnr_throttled 0\n",
		}, "1 GiB of the cgroup", "a quota of 3"},
		{"v1 in a container", files{
			"proc/self/cgroup":                            "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
			"proc/self/mountinfo":                         replaceRoot(v1, "/docker/abc"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":  "9223372036854771712\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":  "-1\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
		}, "256 GiB of the machine", "16 CPUs, no quota"},
		{"a kernel without cgroups", files{"proc/self/cgroup": gone}, "256 GiB of the machine", "no quota"},
		{"not mounted here", files{"proc/self/mountinfo": "22 27 0:21 / /proc rw - proc proc rw\n"}, "not mounted here", "not mounted here"},
		{"not understood", files{"proc/self/cgroup": "what\n"}, `"what" is not a group`, "not a group"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := doctor.Examine(t.Context(), stock().with(files{group + "cpu.stat": gone}).with(c.files).machine(), needs(100), nil)
			for name, part := range map[string]string{"memory": c.memory, "cpu": c.cpu} {
				f := find(t, r, name)
				verdict{level: f.Level, found: part}.check(t, f)
			}
		})
	}
}

func replaceRoot(mounts, root string) string { return strings.ReplaceAll(mounts, "ROOT", root) }

func TestClockThatNobodySetsIsToldAndOneThatCannotBeAskedIsUnknown(t *testing.T) {
	for _, c := range []struct {
		synchronised bool
		err          error
		verdict
	}{
		{true, nil, verdict{doctor.OK, "synchronised", ""}},
		{false, nil, verdict{doctor.Warn, "nobody sets it", "timedatectl set-ntp true"}},
		{false, errors.New("adjtimex: operation not permitted"), verdict{doctor.Unknown, "adjtimex", ""}},
	} {
		m := stock().machine()
		m.Clock = func() (bool, error) { return c.synchronised, c.err }
		c.check(t, find(t, doctor.Examine(t.Context(), m, needs(10), nil), "clock"))
	}
}

func disk(writable bool, free, held int64, kind string) doctor.Disk {
	return doctor.Disk{Writable: writable, Free: free, Held: held, FileSystem: kind}
}

func TestJournalWantsAWritableDiskWithRoom(t *testing.T) {
	const gib = 1 << 30
	const fail, warn, unknown, ok = doctor.Fail, doctor.Warn, doctor.Unknown, doctor.OK
	for _, c := range []struct {
		disk doctor.Disk
		err  error
		verdict
	}{
		{disk(true, 10*gib, 0, "ext4"), nil, verdict{ok, "ext4, 10 GiB free", ""}},
		{disk(true, 6*gib, 4*gib, "xfs"), nil, verdict{ok, "6 GiB free, 4 GiB held", ""}},
		{disk(true, 6*gib, 3*gib, "xfs"), nil, verdict{warn, "6 GiB free", "journal.maxBytes to 8697308774"}},
		{disk(true, 1<<20, 10*gib, "xfs"), nil, verdict{fail, "1 MiB free", "more space"}},
		{disk(false, 10*gib, 0, "ext4"), nil, verdict{fail, "not writable", "chown -R weir:weir /var/lib/weir"}},
		{
			doctor.Disk{Writable: true, Free: 1 * gib, FileSystem: "ext4", Exposed: vfs.Exposed{Path: "/var/lib/weir/a", Mode: 0o777}}, nil,
			verdict{warn, "/var/lib/weir/a has mode 0777: others", "chmod -R go-rwx /var/lib/weir"},
		},
		{doctor.Disk{ReadOnly: true, Free: 10 * gib, FileSystem: "ext4"}, nil, verdict{fail, "mounted read-only", "remount,rw"}},
		{disk(true, 10*gib, 0, "tmpfs"), nil, verdict{warn, "lost at restart", "local disk"}},
		{disk(true, 10*gib, 0, "overlay"), nil, verdict{warn, "layer of a container", "local disk"}},
		{disk(true, 10*gib, 0, "nfs"), nil, verdict{warn, "not a local disk", "local disk"}},
		{disk(true, 10*gib, 0, "0xbeef"), nil, verdict{unknown, "not known", ""}},
		{doctor.Disk{}, fs.ErrNotExist, verdict{fail, "does not exist", "sudo install -d -o weir -g weir -m 750 /var/lib/weir"}},
		{doctor.Disk{}, errors.New("statfs: no"), verdict{unknown, "statfs: no", ""}},
	} {
		m, n := stock().machine(), needs(10)
		m.Disk = func(string) (doctor.Disk, error) { return c.disk, c.err }
		n.Journal = doctor.Journal{Path: "/var/lib/weir", MaxBytes: 10 * gib}
		c.check(t, find(t, doctor.Examine(t.Context(), m, n, nil), "journal"))
	}
	none := find(t, doctor.Examine(t.Context(), stock().machine(), needs(10), nil), "journal")
	verdict{ok, "no journal is configured", ""}.check(t, none)
}

func TestJournalWantsADiskThatKeepsUp(t *testing.T) {
	for _, c := range []struct {
		fsync string
		trial doctor.Trial
		err   error
		verdict
	}{
		{"interval", doctor.Trial{Rate: 100 << 20, Sync: 20 * time.Millisecond}, nil, verdict{doctor.OK, "100 MiB/s written, a sync in 20ms", ""}},
		{"always", doctor.Trial{Rate: 100 << 20, Sync: 20 * time.Millisecond}, nil, verdict{doctor.Warn, "a sync in 20ms", "faster disk"}},
		{"interval", doctor.Trial{Rate: 10 << 20, Sync: time.Millisecond}, nil, verdict{doctor.Warn, "10 MiB/s", "faster disk"}},
		{"interval", doctor.Trial{}, doctor.ErrNoAnswer, verdict{doctor.Warn, "had not taken 8 MiB after 10s", "local disk"}},
		{"interval", doctor.Trial{}, fs.ErrPermission, verdict{doctor.Unknown, "not tried: permission denied", ""}},
	} {
		m, n := stock().machine(), needs(10)
		m.Disk = func(string) (doctor.Disk, error) { return disk(true, 1<<30, 0, "ext4"), nil }
		m.Try = func(string) (doctor.Trial, error) { return c.trial, c.err }
		n.Journal = doctor.Journal{Path: "/var/lib/weir", MaxBytes: 1 << 30, Fsync: c.fsync}
		c.check(t, find(t, doctor.Examine(t.Context(), m, n, nil), "journal speed"))
	}
}

// A disk that is nearly full is not filled by a trial, and one that takes no writes is not asked to.
func TestDiskIsNotTriedAtAnyCost(t *testing.T) {
	for _, c := range []struct {
		disk  doctor.Disk
		err   error
		found string
	}{
		{disk(true, 70<<20, 0, "ext4"), nil, "not tried: it would write 8.4 MiB, and 70 MiB are free"},
		{disk(true, 0, 0, "ext4"), nil, "not tried: it would write"},
		{doctor.Disk{ReadOnly: true, Free: 1 << 30}, nil, "not tried: the directory is not writable"},
		{disk(false, 1<<30, 0, "ext4"), nil, "not tried: the directory is not writable"},
		{doctor.Disk{}, fs.ErrNotExist, "not tried: file does not exist"},
	} {
		m, n := stock().machine(), needs(10)
		m.Disk = func(string) (doctor.Disk, error) { return c.disk, c.err }
		m.Try = func(string) (doctor.Trial, error) {
			t.Error("something was written")
			return doctor.Trial{}, nil
		}
		n.Journal = doctor.Journal{Path: "/var/lib/weir", MaxBytes: 1 << 30}
		verdict{doctor.Unknown, c.found, ""}.check(t, find(t, doctor.Examine(t.Context(), m, n, nil), "journal speed"))
	}
}

// A trial has figures, and leaves nothing.
func TestTrialOfADiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	got, err := doctor.ThisMachine(0).Try(dir)
	if err != nil || got.Rate <= 0 || got.Sync <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := doctor.ThisMachine(0).Try(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
