package vfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Dir is a directory of the operating system, by its path.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// MkdirAll implements FS.
func (d Dir) MkdirAll(dir string) error { return os.MkdirAll(d.path(dir), 0o700) }

// Create implements FS.
func (d Dir) Create(name string) (File, error) {
	return d.open(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND)
}

// Append implements FS.
func (d Dir) Append(name string) (File, error) { return d.open(name, os.O_RDWR|os.O_APPEND) }

// Open implements FS.
func (d Dir) Open(name string) (File, error) { return d.open(name, os.O_RDONLY) }

func (d Dir) open(name string, flags int) (File, error) {
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Rename implements FS.
func (d Dir) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

// Remove implements FS.
func (d Dir) Remove(name string) error { return os.Remove(d.path(name)) }

// List implements FS.
func (d Dir) List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(d.path(dir))
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(entries))
	for _, e := range entries {
		info := Info{Name: e.Name(), Dir: e.IsDir()}
		if !info.Dir {
			stat, err := e.Info()
			if os.IsNotExist(err) {
				continue // it went meanwhile
			}
			if err != nil {
				return nil, err
			}
			info.Size, info.Time = stat.Size(), stat.ModTime()
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// SyncDir implements FS.
func (d Dir) SyncDir(dir string) error {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return f.Sync()
}

// Lock implements FS. The file has the id of the process that has the lock, for whoever is refused. It stays when the lock is let
// go: to remove it would let two have it.
func (d Dir) Lock(name string) (Lock, error) {
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		if errors.Is(err, ErrLocked) {
			err = heldBy(f, err)
		}
		_ = f.Close()
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // without it the lock is as good
	}
	return file{f}, nil
}

// heldBy adds who has a lock, if the file says so.
func heldBy(f *os.File, err error) error {
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0)
	pid, wrong := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if wrong != nil {
		return err
	}
	return fmt.Errorf("%w (process %d)", err, pid)
}

// Free implements FS.
func (d Dir) Free() (int64, error) { return free(string(d)) }

// Boot implements FS.
func (d Dir) Boot() string { return boot() }

// file is an *os.File.
type file struct{ *os.File }

// Sync implements File.
func (f file) Sync() error { return datasync(f.File) }

// Size implements File.
func (f file) Size() (int64, error) {
	stat, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}

// Named implements File and Lock: two looks, at the file and at its name.
func (f file) Named() (bool, error) {
	is, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(f.Name())
	switch {
	case err != nil && FaultOf(err) == Gone:
		return false, nil
	case err != nil:
		return false, err
	}
	return os.SameFile(is, there), nil
}
