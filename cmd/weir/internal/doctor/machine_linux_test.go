package doctor_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

// The machine this runs on can be read: its limits are Linux's own files.
func TestThisMachineCanBeRead(t *testing.T) {
	for _, pid := range []int{0, os.Getpid()} {
		r := doctor.Examine(t.Context(), doctor.ThisMachine(pid), needs(1), nil)
		for _, name := range []string{"descriptors", "fs.nr_open", "fs.file-max", "threads", "memory", "GOMEMLIMIT", "swap", "net.core.somaxconn"} {
			if f := find(t, r, name); f.Level == doctor.Unknown {
				t.Errorf("process %d: %+v", pid, f)
			}
		}
		for _, f := range r.Findings {
			complete(t, f)
		}
	}
}

func TestLimitsOfAProcessThatIsGoneAreUnknown(t *testing.T) {
	r := doctor.Examine(t.Context(), doctor.ThisMachine(1<<30), needs(1), nil)
	if f := find(t, r, "descriptors"); f.Level != doctor.Unknown {
		t.Errorf("%+v", f)
	}
}

func TestDiskOfADirectory(t *testing.T) {
	dir := t.TempDir()
	for name, n := range map[string]int{"a/1": 1000, "a/b/2": 500, "3": 20} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, make([]byte, n), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	m := doctor.ThisMachine(0)
	d, err := m.Disk(dir)
	if err != nil || !d.Writable || d.Free <= 0 || d.Held != 1520 || d.FileSystem == "" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := m.Disk(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if _, err := m.Disk(filepath.Join(dir, "3")); err == nil {
		t.Error("a file is a directory")
	}
	if d, err := m.Disk("/proc"); err == nil && d.Writable {
		t.Errorf("/proc is writable: %+v", d)
	}
}

// What the server takes as its budget and what doctor reckons with are read by different code: they agree.
func TestBudgetIsAQuarterOfTheMemoryDoctorFinds(t *testing.T) {
	memory, err := doctor.MemoryOf(doctor.ThisMachine(0))
	if err != nil {
		t.Fatal(err)
	}
	srv := running(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}})
	a := httptest.NewRecorder()
	srv.Management().ServeHTTP(a, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/lag", nil))
	var lag struct{ Budget struct{ BudgetBytes int64 } }
	if err := json.Unmarshal(a.Body.Bytes(), &lag); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	if got := lag.Budget.BudgetBytes; got != memory/4 {
		t.Errorf("the budget is %d, a quarter of %d is %d", got, memory, memory/4)
	}
}
