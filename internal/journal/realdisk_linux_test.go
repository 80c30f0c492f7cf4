package journal_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// inNamespace runs the test once more in a process with mounts of its own, and reports whether this is it.
func inNamespace(t *testing.T) bool {
	const inside = "WEIR_TEST_MOUNTS"
	if os.Getenv(inside) == t.Name() {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatalf("make mounts private: %v", err)
		}
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("only root may mount file systems")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	said, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		t.Skipf("no mounts of its own: %v", err)
	case strings.Contains(string(said), "--- SKIP"):
		t.Skipf("inside: %s", said)
	case err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, said)
	}
	return false
}

// mounted is a journal on a file system of its own, and what its operator has heard.
type mounted struct {
	*life
	dir string

	mu   sync.Mutex
	told []journal.Incident
}

func (m *mounted) start(t *testing.T, fsync journal.Fsync) {
	t.Helper()
	o := journal.Options{FS: vfs.Dir(m.dir), Fsync: fsync, SegmentBytes: 100_000, TailBytes: -1, Incidents: func(i journal.Incident) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, i)
	}}
	journal.WithRecovery(&o, 1)
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	m.life = &life{t: t, j: j}
	m.log = openTopic(t, j, topiclog.Limits{}, func(topiclog.Placement) {})
}

// kinds are what the operator has heard since the last look.
func (m *mounted) kinds() (all []journal.Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.told {
		all = append(all, i.Kind)
	}
	m.told = nil
	return all
}

// until appends one record after the other until one is refused.
func (m *mounted) until(from, most int) (confirmed []string, err error) {
	for n := from; n < from+most && err == nil; n++ {
		var more []string
		more, err = m.publish(n, 1)
		confirmed = append(confirmed, more...)
	}
	return confirmed, err
}

// A real file system is filled to its end, by somebody else and by the journal: publishers are told that there is no
// space left, the operator once; readers have all that was confirmed; and appends succeed again when there is room,
// with nothing lost after a restart.
func TestARealDiskIsFull(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	m := &mounted{dir: t.TempDir()}
	if err := syscall.Mount("weir", m.dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("no tmpfs may be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(m.dir, syscall.MNT_DETACH) })
	filler := filepath.Join(m.dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start(t, journal.Interval)
	all, err := m.until(0, 20_000)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), `append to the log of "/feed" "ticks"`) || len(all) < 1000 {
		t.Fatalf("%d confirmed, then %v", len(all), err)
	}
	for range 10 {
		if _, err := m.publish(1, 1); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a full disk: %v", err)
		}
	}
	if got := m.kinds(); !slices.Equal(got, []journal.Kind{journal.Refusing}) {
		t.Errorf("the operator hears %v", got)
	}
	if s := m.j.Troubles(); len(s) != 1 || s[0].What != journal.FullDisk || !errors.Is(s[0].Err, syscall.ENOSPC) {
		t.Errorf("%+v", s)
	}
	if got, lost := m.read(0); !slices.Equal(got, all) || lost {
		t.Errorf("a reader of the full disk gets %d of %d, lost %v", len(got), len(all), lost)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	more, err := m.publish(len(all), 100)
	if err != nil || !slices.Equal(m.kinds(), []journal.Kind{journal.Healed}) {
		t.Errorf("when there is room: %v", err)
	}
	all = append(all, more...)
	m.end()
	m.start(t, journal.Interval)
	if got, lost := m.read(0); !slices.Equal(got, all) || lost || m.j.Stats().Damaged > 0 {
		t.Errorf("after a restart %d of %d, lost %v, %+v", len(got), len(all), lost, m.j.Stats().Damaged)
	}
	m.end()
}

// A real file system turns read-only, as after an error of its device: publishers are told, the operator once, readers
// have all that was confirmed; a start on it is refused with the reason; and when it is mounted anew nothing that was
// confirmed is missing.
func TestARealDiskTurnsReadOnly(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	outer := t.TempDir()
	image, dir := filepath.Join(outer, "image"), filepath.Join(outer, "mnt")
	mount := func(options string) error {
		return run(t, "mount", "-t", "ext4", "-o", options, image, dir)
	}
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20), os.Mkdir(dir, 0o700), run(t, "mkfs.ext4", "-q", image))
	if err == nil {
		err = mount("loop")
	}
	if err != nil {
		t.Skipf("no image of a file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	m := &mounted{dir: dir}
	m.start(t, journal.Always)
	all, err := m.publish(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	m.log.Settle()
	if err := run(t, "mount", "-o", "remount,abort", dir); err != nil {
		t.Skipf("it cannot be made to fail: %v", err)
	}
	for range 5 {
		if _, err := m.publish(1000, 1); !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EIO) {
			t.Errorf("a read-only disk: %v", err)
		}
	}
	if got := m.kinds(); !slices.Equal(got, []journal.Kind{journal.Refusing}) {
		t.Errorf("the operator hears %v", got)
	}
	if got, lost := m.read(0); !slices.Equal(got, all) || lost {
		t.Errorf("a reader gets %d of %d, lost %v", len(got), len(all), lost)
	}
	_ = m.j.Close()
	if _, err := journal.Open(journal.Options{FS: vfs.Dir(dir)}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a start on it: %v", err)
	}
	if err := errors.Join(syscall.Unmount(dir, 0), mount("loop")); err != nil {
		t.Fatal(err)
	}
	m.start(t, journal.Always)
	got, lost := m.read(0)
	if !slices.Equal(got, all) || m.j.Stats().Damaged > 0 || lost {
		t.Errorf("mounted anew: %d of %d, lost %v, %+v", len(got), len(all), lost, m.j.Stats().Damaged)
	}
	if more, err := m.publish(2000, 5); err != nil || len(more) != 5 {
		t.Errorf("mounted anew: %v", err)
	}
	m.end()
}

// run runs a program of the system.
func run(t *testing.T, name string, args ...string) error {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, said)
	}
	return nil
}
