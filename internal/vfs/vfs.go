package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrLocked says that another process, or another FS of this one, has the lock.
var ErrLocked = errors.New("it is locked by another process")

// FS is a directory and what is below it. All methods may be called by any goroutine. Errors wrap those of io/fs.
type FS interface {
	// MkdirAll makes a directory and those above it, for the owner alone (0700). One that is there stays as it is.
	MkdirAll(dir string) error

	// Create makes a file that is not there yet, for the owner alone (0600).
	Create(name string) (File, error)

	// Append opens a file that is there, to write behind its end.
	Append(name string) (File, error)

	// Open opens a file to be read.
	Open(name string) (File, error)

	// Rename gives a file another name in the same directory; a file that has that name is replaced.
	Rename(from, to string) error

	// Remove takes a file or an empty directory away.
	Remove(name string) error

	// List returns what is in a directory, by name.
	List(dir string) ([]Info, error)

	// SyncDir returns when the names in a directory would outlive the machine.
	SyncDir(dir string) error

	// Lock makes the file if it is not there, and locks it against other processes until it is closed or the process ends.
	// It does not wait: ErrLocked, with the id of the process that has it if that is known.
	Lock(name string) (Lock, error)

	// Free is how many bytes this user may still write on the file system.
	Free() (int64, error)

	// Boot names this run of the machine: while it is the same, all that was written is still there. "" = not known.
	Boot() string
}

// Named is what stands under a name.
type Named interface {
	// Named reports whether the name still stands for it: not when somebody has removed it or put another one in its
	// place, or has done so with a directory above it, or moved one. Any goroutine may ask.
	Named() (bool, error)
}

// Lock is a file that is locked until it is closed. Who finds that its name stands for it no more does not know who has
// locked the file that is there now.
type Lock interface {
	io.Closer
	Named
}

// File is an open file. ReadAt and Sync may be called by any goroutine, the others by one at a time.
type File interface {
	io.Writer // at the end
	io.ReaderAt
	io.Closer
	Named

	// Sync returns when what was written would outlive the machine (fdatasync). After an error nothing is known about
	// what was written since the last one.
	Sync() error

	// Truncate cuts the file.
	Truncate(size int64) error

	// Size is how long the file is.
	Size() (int64, error)
}

// Info is one name in a directory.
type Info struct {
	Name string
	Size int64     // of a file
	Time time.Time // when a file was written last
	Dir  bool
}
