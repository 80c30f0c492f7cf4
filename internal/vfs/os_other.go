//go:build !linux

package vfs

import (
	"errors"
	"os"
)

// lock refuses: without a lock two processes would write one journal, and that loses data.
func lock(f *os.File) error {
	return &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}

func datasync(f *os.File) error { return f.Sync() }

func free(dir string) (int64, error) {
	return 0, &os.PathError{Op: "free space", Path: dir, Err: errors.ErrUnsupported}
}

func boot() string { return "" }
