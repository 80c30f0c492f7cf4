package memfs_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The file system in memory and the operating system's do the same.
func TestFakeDoesWhatTheSystemDoes(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"memory": memfs.New(), "system": vfs.Dir(t.TempDir())} {
		t.Run(name, func(t *testing.T) { story(t, fsys) })
	}
}

func story(t *testing.T, fsys vfs.FS) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	write := func(f vfs.File, text string) {
		t.Helper()
		if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	_, err := fsys.Create("d/a")
	is(err, fs.ErrNotExist)
	must(fsys.MkdirAll("d/e"))
	must(fsys.MkdirAll("d/e"))
	f, err := fsys.Create("d/a")
	must(err)
	_, err = fsys.Create("d/a")
	is(err, fs.ErrExist)
	write(f, "0123456789")
	must(f.Sync())
	must(f.Truncate(5))
	write(f, "ab")
	must(f.Close())
	f, err = fsys.Append("d/a")
	must(err)
	write(f, "c")
	size, err := f.Size()
	must(err)
	p := make([]byte, 4)
	n, err := f.ReadAt(p, 6)
	if size != 8 || n != 2 || !errors.Is(err, io.EOF) || string(p[:n]) != "bc" {
		t.Errorf("size %d, read %d, %v, %q", size, n, err, p[:n])
	}
	n, err = f.ReadAt(p, 2)
	if n != 4 || err != nil || string(p) != "234a" {
		t.Errorf("read %d, %v, %q", n, err, p)
	}
	must(f.Close())
	_, err = fsys.Open("d/b")
	is(err, fs.ErrNotExist)
	must(fsys.Rename("d/a", "d/b"))
	is(fsys.Rename("d/a", "d/b"), fs.ErrNotExist)
	f, err = fsys.Open("d/b")
	must(err)
	if _, err := f.Write(p); err == nil {
		t.Error("a file that was opened to be read is written")
	}
	must(f.Close())
	moves(t, fsys)
	must(fsys.SyncDir("d"))
	infos, err := fsys.List("d")
	must(err)
	if len(infos) > 0 && time.Since(infos[0].Time).Abs() > time.Hour {
		t.Errorf("written at %v", infos[0].Time)
	}
	for i := range infos {
		infos[i].Time = time.Time{}
	}
	if want := []vfs.Info{{Name: "b", Size: 8}, {Name: "e", Dir: true}}; !slices.Equal(infos, want) {
		t.Errorf("%+v", infos)
	}
	if fsys.Remove("d") == nil {
		t.Error("a directory that is not empty is removed")
	}
	must(fsys.Remove("d/b"))
	must(fsys.Remove("d/e"))
	must(fsys.Remove("d"))
	is(fsys.Remove("d"), fs.ErrNotExist)
	_, err = fsys.List("d")
	is(err, fs.ErrNotExist)
	l, err := fsys.Lock("lock")
	must(err)
	_, err = fsys.Lock("lock")
	is(err, vfs.ErrLocked)
	must(l.Close())
	l, err = fsys.Lock("lock")
	must(err)
	named(t, l, true)
	must(fsys.Remove("lock"))
	named(t, l, false)
	must(l.Close())
}

// moves has names stand for other files, and for none.
func moves(t *testing.T, fsys vfs.FS) {
	make := func(name string) vfs.File {
		t.Helper()
		f, err := fsys.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f, other := make("d/f"), make("d/other")
	named(t, f, true)
	for _, err := range []error{f.Sync(), fsys.Rename("d/f", "d/g")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	named(t, f, false)
	if err := fsys.Rename("d/g", "d/f"); err != nil {
		t.Fatal(err)
	}
	named(t, f, true)
	if err := fsys.Rename("d/other", "d/f"); err != nil {
		t.Fatal(err)
	}
	named(t, f, false)
	named(t, other, false)
	if err := errors.Join(fsys.Remove("d/f"), f.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
}

func named(t *testing.T, f vfs.Named, want bool) {
	t.Helper()
	if got, err := f.Named(); got != want || err != nil {
		t.Errorf("its name stands for it: %v, %v", got, err)
	}
}

// A crash leaves what was synced, under names that were, and of the rest as much as it is told to.
func TestFakeCrashLosesWhatWasNotSynced(t *testing.T) {
	m := memfs.New()
	f, err := m.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = m.Create("never synced")
	_, _ = f.Write([]byte("one"))
	_ = f.Sync()
	m.Crash(nil)
	if got := m.Files(); len(got) != 0 {
		t.Fatalf("names that were not synced: %q", got)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, memfs.ErrCrashed) {
		t.Errorf("a handle from before: %v", err)
	}
	f, _ = m.Create("a")
	_ = m.SyncDir(".")
	_, _ = f.Write([]byte("one"))
	_ = f.Sync()
	_, _ = f.Write([]byte("two"))
	_ = m.Rename("a", "b")
	m.Crash(func(_ string, unsynced int) int { return unsynced - 1 })
	if got := m.Files(); !slices.Equal(got, []string{"a"}) || string(m.Data("a")) != "onetw" {
		t.Errorf("%q, %q", got, m.Data("a"))
	}
}

func TestFakeFails(t *testing.T) {
	m := memfs.New()
	broken := errors.New("broken")
	f, _ := m.Create("a")
	m.Hook(func(op memfs.Op) error {
		if op.Kind == memfs.Write && op.N == 2 {
			return broken
		}
		return nil
	})
	if n, err := f.Write([]byte("1234")); n != 2 || !errors.Is(err, broken) {
		t.Errorf("a write that fails: %d, %v", n, err)
	}
	if n, err := f.Write([]byte("56")); n != 2 || err != nil {
		t.Errorf("the next: %d, %v", n, err)
	}
	m.SetCapacity(5)
	if n, err := f.Write([]byte("78")); n != 1 || !errors.Is(err, memfs.ErrNoSpace) {
		t.Errorf("a full disk: %d, %v", n, err)
	}
	if free, _ := m.Free(); free != 0 {
		t.Errorf("%d bytes are free", free)
	}
	m.SetReadOnly(true)
	if _, err := m.Create("b"); !errors.Is(err, memfs.ErrReadOnly) {
		t.Errorf("a read-only disk: %v", err)
	}
	if _, err := f.Write([]byte("78")); !errors.Is(err, memfs.ErrReadOnly) {
		t.Errorf("a read-only disk: %v", err)
	}
	if string(m.Data("a")) != "12567" {
		t.Errorf("%q", m.Data("a"))
	}
	m.Kill()
	if err := f.Sync(); !errors.Is(err, memfs.ErrCrashed) || string(m.Clone().Data("a")) != "12567" {
		t.Errorf("after a kill: %v, %q", err, m.Data("a"))
	}
}
