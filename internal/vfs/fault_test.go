package vfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

func TestFaultsHaveWords(t *testing.T) {
	for err, want := range map[error]vfs.Fault{
		syscall.ENOSPC: vfs.Full, syscall.EDQUOT: vfs.Full, memfs.ErrNoSpace: vfs.Full, syscall.EROFS: vfs.ReadOnly, memfs.ErrReadOnly: vfs.ReadOnly,
		fs.ErrNotExist: vfs.Gone, syscall.ENOENT: vfs.Gone, syscall.ENODEV: vfs.Gone, syscall.ESTALE: vfs.Gone, syscall.ENOTDIR: vfs.Gone, syscall.EIO: vfs.Failing, errors.New("?"): vfs.Failing,
	} {
		if got := vfs.FaultOf(fmt.Errorf("write: %w", &fs.PathError{Op: "write", Path: "x", Err: err})); got != want {
			t.Errorf("%v is %d, want %d", err, got, want)
		}
	}
}
