package report_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func proc(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

func TestMachineOfLinux(t *testing.T) {
	core := "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu vme\n\n"
	m := report.MachineFrom(proc(map[string]string{
		"cpuinfo": strings.Repeat(core, 4096), "meminfo": "MemTotal:       24576 kB\nMemFree:         100 kB\n",
		"sys/kernel/osrelease": "6.18.5\n", "loadavg": "0.31 0.15 0.05 1/87 14773\n",
	}))
	if m.Cores != 4096 || m.UsableCores != runtime.NumCPU() || m.CPU != "AMD EPYC 7B13" || m.MemoryBytes != 24576<<10 ||
		m.Kernel != "6.18.5" || m.Load != [3]float64{0.31, 0.15, 0.05} || m.Go != runtime.Version() {
		t.Errorf("got %+v", m)
	}
}

func TestMachineWithoutProcIsWhatGoKnows(t *testing.T) {
	m := report.MachineFrom(proc(nil))
	if m.Cores != runtime.NumCPU() || m.CPU != "" || m.MemoryBytes != 0 || m.System != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("got %+v", m)
	}
}

func TestMachineTakesNoNonsenseForMemory(t *testing.T) {
	for _, line := range []string{"MemTotal: many kB", "MemTotal: 5", "MemTotal: -5 kB", "MemTotal: 9223372036854775807 kB"} {
		if m := report.MachineFrom(proc(map[string]string{"meminfo": line})); m.MemoryBytes != 0 {
			t.Errorf("%q: %d bytes", line, m.MemoryBytes)
		}
	}
}

func TestMachineInOneLine(t *testing.T) {
	for want, m := range map[string]report.Machine{
		"":                       {},
		"1 core":                 {Cores: 1, UsableCores: 1},
		"1 of 2 cores, go1.26.1": {Cores: 2, UsableCores: 1, Go: "go1.26.1"},
		"weir dev":               {Weir: "dev"},
		"2 cores Xeon, 24 GiB memory, linux/amd64 6.18.5": {
			Cores: 2, UsableCores: 2, CPU: "Xeon", MemoryBytes: 24 << 30, System: "linux/amd64", Kernel: "6.18.5",
		},
	} {
		if got := report.Sentence(m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestThisMachineHasCores(t *testing.T) {
	if m := report.ThisMachine(); m.Cores < 1 || m.UsableCores < 1 || m.UsableCores > m.Cores || m.Weir == "" {
		t.Errorf("got %+v", m)
	}
}
