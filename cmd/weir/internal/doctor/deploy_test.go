package doctor_test

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/config"
)

const deploy = "../../../../deploy/"

// million is how many connections the files of deploy/ are made for.
const million = 1_000_000

// The files of deploy/ are what doctor wants: a machine with them is good in everything for a million connections, and
// was not without them.
func TestDeployFilesAreWhatDoctorWants(t *testing.T) {
	without := doctor.Examine(t.Context(), stock().machine(), needs(million), nil)
	bad := map[string]bool{}
	for _, f := range without.Findings {
		bad[f.Name] = f.Level != doctor.OK
	}
	for _, name := range []string{"descriptors", "net.core.somaxconn", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_mem", "nf_conntrack", "swap"} {
		if !bad[name] {
			t.Errorf("%s was good without the files: the test shows nothing", name)
		}
	}
	m := stock().with(tuned(t)).with(served(t)).machine()
	for _, f := range doctor.Examine(t.Context(), m, needs(million), nil).Findings {
		if f.Level != doctor.OK {
			t.Errorf("with the files of deploy/: %+v", f)
		}
	}
}

// Each of the settings counts: none is there that doctor or a comment would not miss.
func TestEverySettingOfTheSysctlFileIsLookedAt(t *testing.T) {
	all := stock().with(tuned(t)).with(served(t))
	all["proc/sys/net/ipv4/tcp_max_syn_backlog"] = "128" // of this and the cookies one suffices
	for name, bad := range map[string]string{
		"net/core/somaxconn": "128", "net/ipv4/tcp_syncookies": "0", "net/ipv4/ip_local_port_range": "32768 60999",
		"net/ipv4/tcp_mem": "1 2 3", "net/netfilter/nf_conntrack_max": "65536",
	} {
		r := doctor.Examine(t.Context(), all.with(files{"proc/sys/" + name: bad}).machine(), needs(million), nil)
		if r.Findings[0].Level == doctor.OK {
			t.Errorf("%s = %s: doctor sees nothing", name, bad)
		}
		if _, there := tuned(t)["proc/sys/"+name]; !there {
			t.Errorf("60-weir.conf does not set %s", name)
		}
	}
}

func TestUnitDrainsBeforeItIsKilled(t *testing.T) {
	u := unit(t)
	c, err := config.Parse("weir.yaml", config.Init(), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stop := number(t, u["TimeoutStopSec"])
	if patience := time.Duration(stop) * time.Second; patience < c.Options.Drain.Timeout+5*time.Second {
		t.Errorf("TimeoutStopSec=%d kills before drain.timeoutMs, %v, is over", stop, c.Options.Drain.Timeout)
	}
	for name, want := range map[string]string{
		"KillSignal": "SIGTERM", "Restart": "on-failure", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
		"ExecStart": "/usr/local/bin/weir serve --config /etc/weir/weir.yaml", "MemorySwapMax": "0",
	} {
		if u[name] != want {
			t.Errorf("%s=%s, want %s", name, u[name], want)
		}
	}
	// Weir raises its limit and lowers the priority of its handlers: both are calls of these groups.
	if filter := u["SystemCallFilter"]; filter != "@system-service" {
		t.Errorf("SystemCallFilter=%s, want @system-service", filter)
	}
}

// Files that documents, fixes and code name by deploy/ exist.
func TestFilesNamedByDeployExist(t *testing.T) {
	named := regexp.MustCompile(`deploy/[\w.-]*\w`)
	var texts []string
	for _, f := range doctor.Examine(t.Context(), files{}.machine(), needs(million), nil).Findings {
		texts = append(texts, f.Fix)
	}
	for _, pattern := range []string{deploy + "*.*", deploy + "*/*", "../../../../docs/guide/operating.md", "*.go", "../../*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, p := range paths {
			texts = append(texts, read(t, p))
		}
	}
	found := map[string]bool{}
	for _, text := range texts {
		for _, name := range named.FindAllString(text, -1) {
			found[name] = true
		}
	}
	for _, want := range []string{"deploy/60-weir.conf", "deploy/weir.service"} {
		if !found[want] {
			t.Errorf("nobody names %s", want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, err := os.Stat("../../../../" + name); err != nil {
			t.Error(err)
		}
	}
}

// tuned is what 60-weir.conf makes of a machine.
func tuned(t *testing.T) files {
	t.Helper()
	f := files{}
	for name, value := range settings(t, deploy+"60-weir.conf") {
		name = strings.TrimPrefix(name, "-") // may fail
		f["proc/sys/"+strings.ReplaceAll(name, ".", "/")] = value
	}
	if len(f) < 5 {
		t.Fatalf("60-weir.conf sets only %v", f)
	}
	return f
}

// served is what weir.service makes of the limits of its process.
func served(t *testing.T) files {
	t.Helper()
	u := unit(t)
	return files{
		"proc/self/limits":                  limits(u["LimitNOFILE"], u["LimitNOFILE"], "1028000"),
		path.Join(group, "pids.max"):        u["TasksMax"],
		path.Join(group, "memory.swap.max"): u["MemorySwapMax"],
	}
}

func unit(t *testing.T) map[string]string {
	t.Helper()
	u := settings(t, deploy+"weir.service")
	if number(t, u["LimitNOFILE"]) < million {
		t.Errorf("LimitNOFILE=%s", u["LimitNOFILE"])
	}
	return u
}

// settings reads name=value lines.
func settings(t *testing.T, file string) map[string]string {
	t.Helper()
	list := map[string]string{}
	for i, line := range strings.Split(read(t, file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if _, twice := list[name]; !ok || twice && file == deploy+"60-weir.conf" {
			t.Errorf("%s:%d: %q", file, i+1, line)
		}
		list[name] = strings.TrimSpace(value)
	}
	return list
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Error(fmt.Errorf("a value of weir.service: %w", err))
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
