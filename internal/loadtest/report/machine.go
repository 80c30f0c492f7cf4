package report

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/streamweir/weir/internal/build"
)

// Machine is where a run was made. Figures without it mean nothing. What could not be found out is zero.
type Machine struct {
	Cores       int        `json:"cores"`       // of the machine, as far as the system tells
	UsableCores int        `json:"usableCores"` // of them, those this process may use (taskset, cgroup cpuset)
	CPU         string     `json:"cpu"`         // model
	MemoryBytes int64      `json:"memoryBytes"`
	System      string     `json:"system"` // GOOS/GOARCH
	Kernel      string     `json:"kernel"` // release
	Go          string     `json:"go"`
	Weir        string     `json:"weir"`     // version of the load tool
	Revision    string     `json:"revision"` // of the load tool
	Load        [3]float64 `json:"load"`     // average of 1, 5 and 15 minutes when the run began
}

// ThisMachine describes the machine it runs on. Call it before the run: the load average is that of the moment.
func ThisMachine() Machine { return machineFrom(os.DirFS("/proc")) }

// machineFrom reads what Linux tells under /proc. Where there is no such thing, what Go knows has to do.
func machineFrom(proc fs.FS) Machine {
	m := Machine{
		Cores: runtime.NumCPU(), UsableCores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Weir: build.Version(), Revision: build.Revision(),
	}
	cores := 0
	for name, value := range fields(proc, "cpuinfo") {
		switch name {
		case "processor":
			cores++
		case "model name":
			m.CPU = value
		}
	}
	m.Cores = max(m.Cores, cores)
	for name, value := range fields(proc, "meminfo") {
		if name == "MemTotal" {
			m.MemoryBytes = kibibytes(value)
		}
	}
	m.Kernel = strings.TrimSpace(content(proc, "sys/kernel/osrelease"))
	_, _ = fmt.Sscan(content(proc, "loadavg"), &m.Load[0], &m.Load[1], &m.Load[2]) // what is missing stays zero
	return m
}

// fields yields the lines "name : value" of a file of proc, none if it cannot be read.
func fields(proc fs.FS, file string) func(yield func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(content(proc, file)) {
			name, value, ok := strings.Cut(line, ":")
			if ok && !yield(strings.TrimSpace(name), strings.TrimSpace(value)) {
				return
			}
		}
	}
}

// content is a file of proc, "" if it cannot be read: on another system, or in a sandbox.
func content(proc fs.FS, file string) string {
	b, err := fs.ReadFile(proc, file)
	if err != nil {
		return ""
	}
	return string(b)
}

// kibibytes reads "24576 kB" as bytes, 0 if it is something else.
func kibibytes(text string) int64 {
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || unit != "kB" || n < 0 || n > math.MaxInt64>>10 {
		return 0
	}
	return n << 10
}

// sentence is the machine in one line: "2 cores Intel Xeon, 24 GiB, Linux 6.18.5, …".
func (m Machine) sentence() string {
	var parts []string
	for _, p := range []struct{ before, text, after string }{
		{"", m.cores(), ""}, {"", m.memory(), " memory"}, {"", m.systemAndKernel(), ""}, {"", m.Go, ""}, {"", m.version(), ""},
		{"load ", m.load(), ""},
	} {
		if p.text != "" {
			parts = append(parts, p.before+p.text+p.after)
		}
	}
	return strings.Join(parts, ", ")
}

func (m Machine) cores() string {
	if m.Cores == 0 {
		return ""
	}
	text := strconv.Itoa(m.Cores)
	if m.UsableCores > 0 && m.UsableCores < m.Cores {
		text = strconv.Itoa(m.UsableCores) + " of " + text
	}
	if m.Cores == 1 {
		return strings.TrimSpace(text + " core " + m.CPU)
	}
	return strings.TrimSpace(text + " cores " + m.CPU)
}

func (m Machine) memory() string {
	if m.MemoryBytes == 0 {
		return ""
	}
	return quantity(float64(m.MemoryBytes), "B")
}

func (m Machine) systemAndKernel() string { return strings.TrimSpace(m.System + " " + m.Kernel) }

func (m Machine) version() string {
	switch {
	case m.Weir == "":
		return ""
	case m.Revision == "":
		return "weir " + m.Weir
	}
	return fmt.Sprintf("weir %s (%.12s)", m.Weir, m.Revision)
}

func (m Machine) load() string {
	if m.Load == [3]float64{} {
		return ""
	}
	return fmt.Sprintf("%.2f %.2f %.2f", m.Load[0], m.Load[1], m.Load[2])
}
