//go:build unix

package vfs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/streamweir/weir/internal/vfs"
)

// What Dir makes is for its owner alone; what others may get at is found.
func TestExposedFindsWhatOthersMayGetAt(t *testing.T) {
	root := filepath.Join(t.TempDir(), "journal")
	d := vfs.Dir(root)
	if err := d.MkdirAll("log"); err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("log/file")
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		mode  fs.FileMode
		found bool
	}{
		{".", 0o700, false}, {".", 0o750, false}, {".", 0o755, false}, {".", 0o770, true}, {".", 0o777, true},
		{"log", 0o700, false}, {"log", 0o702, true},
		{"log/file", 0o600, false}, {"log/file", 0o640, true}, {"log/file", 0o604, true}, {"log/file", 0o400, false},
	} {
		path := filepath.Join(root, c.path)
		was, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, c.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := vfs.Exposed{}
		if c.found {
			want = vfs.Exposed{Path: path, Mode: c.mode}
		}
		if got, err := d.Exposed(); err != nil || got != want {
			t.Errorf("%s with mode %04o: %+v, %v", c.path, c.mode, got, err)
		}
		if err := os.Chmod(path, was.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := vfs.Dir(filepath.Join(root, "none")).Exposed(); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}
