package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Exposed is a file or directory that others than its owner may get at. The zero Exposed is none.
type Exposed struct {
	Path string
	Mode fs.FileMode // its permissions
}

// Exposed returns the first that is found in the directory, itself included: a directory in which others may make and remove
// files, or a file that they may read or change. What is made here is for its owner alone; what was there before, or was
// copied, may not be.
func (d Dir) Exposed() (found Exposed, err error) {
	err = filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		others := fs.FileMode(0o077)
		if e.IsDir() {
			others = 0o022
		}
		if (e.IsDir() || info.Mode().IsRegular()) && info.Mode()&others != 0 {
			found = Exposed{path, info.Mode().Perm()}
			return filepath.SkipAll
		}
		return nil
	})
	return found, err
}
