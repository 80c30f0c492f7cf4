package doctor

import (
	"fmt"
	"math"

	logs "github.com/streamweir/weir/internal/journal"
)

// Reserve is how many descriptors a server needs besides one for each connection, and those of its journal: listeners,
// event loops, logs, calls of the management API.
const Reserve = 64

// ThreadReserve is how many threads the Go runtime and its system calls may need besides the workers and event loops.
const ThreadReserve = 64

// descriptors compares the limit of the process with what the connections need.
func descriptors(m Machine, n Needs) Finding {
	soft, hard, err := m.limit("Max open files")
	reserve := n.reserve(hard)
	want := n.Connections + reserve
	f := Finding{
		Name:   "descriptors",
		Wanted: fmt.Sprintf("%s or more", count(want)),
		Why: fmt.Sprintf("Each connection is a descriptor, and %d are for the server itself. Beyond the limit no client gets in. "+
			"serve raises the soft limit to the hard one. These limits are of %s.", reserve, m.whose()),
		Fix: fmt.Sprintf("LimitNOFILE=%d in the unit (deploy/weir.service has 1048576), --ulimit nofile=%d for Docker, or as root: ulimit -n %d", want, want, want),
	}
	if err != nil {
		return f.unknown(err)
	}
	found := fmt.Sprintf("soft %s, hard %s: room for %s clients", count(soft), count(hard), count(max(hard-int64(reserve), 0)))
	if hard < int64(want) {
		return f.at(n.worst(), "%s", found)
	}
	return f.at(OK, "%s", found)
}

// reserve is how many descriptors a server needs besides those of connections, where it may have so many: a journal
// takes more of more.
func (n Needs) reserve(limit int64) int {
	if n.Journal.Path == "" {
		return Reserve
	}
	_, journals := logs.FilesFor(int(min(limit, math.MaxInt32)))
	return Reserve + journals
}

func (m Machine) whose() string {
	if m.PID == 0 {
		return "doctor itself, as this shell gave them: those of a running server are shown with --pid"
	}
	return fmt.Sprintf("process %d", m.PID)
}

// descriptorCeiling is how high the limit of one process may be set.
func descriptorCeiling(m Machine, n Needs) Finding {
	want := n.Connections + n.reserve(int64(n.Connections))
	f := Finding{
		Name:   "fs.nr_open",
		Wanted: fmt.Sprintf("%s or more", count(want)),
		Why:    "The hard limit of a process cannot be set higher than this, not by root and not by LimitNOFILE.",
		Fix:    setSysctl("fs.nr_open", fmt.Sprint(max(want, 1<<20))),
	}
	ceiling, err := m.number(sysctl("fs.nr_open"))
	if err != nil {
		return f.unknown(err)
	}
	if ceiling < int64(want) {
		return f.at(n.worst(), "%s", count(ceiling))
	}
	return f.at(OK, "%s", count(ceiling))
}

// openFiles is how many files all processes may have open.
func openFiles(m Machine, n Needs) Finding {
	f := Finding{
		Name: "fs.file-max",
		Why:  "All processes together may have so many files open; beyond it accept fails for everybody.",
	}
	limit, err := m.number(sysctl("fs.file-max"))
	if err != nil {
		return f.unknown(err)
	}
	used, err := m.numbers(sysctl("fs.file-nr"), 1)
	if err != nil {
		return f.unknown(err)
	}
	want := used[0] + int64(n.Connections+n.reserve(int64(n.Connections)))
	f.Wanted = fmt.Sprintf("%s or more", count(want))
	f.Fix = setSysctl("fs.file-max", fmt.Sprint(2*want))
	if limit < want {
		return f.at(n.worst(), "%s, %s in use", count(limit), count(used[0]))
	}
	return f.at(OK, "%s, %s in use", count(limit), count(used[0]))
}

// threads compares what may be started with what handlers on threads of their own need.
func threads(m Machine, n Needs) Finding {
	f := Finding{
		Name: "threads",
		Why: "Each handler that runs has a thread (workers.max), each event loop one, and the Go runtime some. When a thread " +
			"cannot be started the process ends.",
	}
	cpus, err := m.cpus()
	if err != nil {
		return f.unknown(err)
	}
	want := int64(n.Workers + cpus + ThreadReserve)
	f.Wanted = fmt.Sprintf("%s or more", count(want))
	limit, from := int64(1<<63-1), "no limit"
	if _, hard, err := m.limit("Max processes"); err != nil {
		return f.unknown(err)
	} else if hard < limit {
		limit, from = hard, "processes of the user"
		f.Fix = fmt.Sprintf("LimitNPROC=%d in the unit, or as root: ulimit -u %d", 2*want, 2*want)
	}
	if most, err := m.cgroupLimit("pids", "pids.max"); err != nil {
		return f.unknown(err)
	} else if most < limit {
		limit, from = most, "pids.max of the cgroup"
		f.Fix = fmt.Sprintf("TasksMax=%d in the unit, --pids-limit %d for Docker, or lower workers.max", 2*want, 2*want)
	}
	switch {
	case limit < want:
		return f.at(Fail, "%s (%s)", count(limit), from)
	case limit == 1<<63-1:
		return f.at(OK, "%s", from)
	}
	return f.at(OK, "%s (%s)", count(limit), from)
}
