package identity

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// File are keys in a file that is read again when it has changed, which is looked for once a second at most. While it cannot be
// read or used, what it held before counts. Any goroutine may call its methods.
type File struct {
	path  string
	parse func([]byte) (Keys, error)
	note  func(error) // told of each version that cannot be used

	mu     sync.Mutex
	keys   Keys
	looked time.Time
	seen   version
}

// version tells two contents of a file apart.
type version struct {
	modified time.Time
	size     int64
}

// NewFile reads the file, which must be there and of use.
func NewFile(path string, parse func([]byte) (Keys, error), note func(error)) (*File, error) {
	f := &File{path: path, parse: parse, note: note}
	err := f.readLocked()
	return f, err
}

// Keys returns what the file holds.
func (f *File) Keys(now time.Time) Keys {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) < time.Second && !now.Before(f.looked) {
		return f.keys
	}
	f.looked = now
	if err := f.readLocked(); err != nil {
		f.note(err)
	}
	return f.keys
}

// readLocked reads the file if it is not the one read last. One that cannot be used is told once.
func (f *File) readLocked() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	v := version{info.ModTime(), info.Size()}
	if v == f.seen {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(file, maxSet+1))
	if err != nil {
		return err
	}
	f.seen = v
	if len(b) > maxSet {
		return fmt.Errorf("%s has more than %d bytes", f.path, maxSet)
	}
	keys, err := f.parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.keys = keys
	return nil
}
