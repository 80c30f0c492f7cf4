package vfs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/vfs"
)

// TestMain is also the child process that holds a lock.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WEIR_TEST_LOCK"); dir != "" {
		_, err := vfs.Dir(dir).Lock("lock")
		_, _ = os.Stdout.WriteString(map[bool]string{true: "locked\n", false: "refused\n"}[err == nil])
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	leaks.Main(m)
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it has no such permissions")
	}
	root := t.TempDir()
	d := vfs.Dir(root)
	if err := d.MkdirAll("a/b"); err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o700, "a/b/c": 0o600} {
		if stat, err := os.Stat(filepath.Join(root, name)); err != nil || stat.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, stat.Mode(), err)
		}
	}
}

// A lock is refused to a second holder of this process and of another one, and is free when its process was killed.
func TestLockIsOneProcesss(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a journal needs flock, which is used on Linux only")
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "WEIR_TEST_LOCK="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // a test's
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if _, err := vfs.Dir(dir).Lock("lock"); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", child.Process.Pid)) {
		t.Errorf("a second process: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	first, err := vfs.Dir(dir).Lock("lock")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.Dir(dir).Lock("lock"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

func TestFreeSpaceIsKnown(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is asked on Linux only")
	}
	if n, err := vfs.Dir(t.TempDir()).Free(); n <= 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
