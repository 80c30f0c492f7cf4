package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/streamweir/weir/internal/vfs"
)

// readFile returns what a file has.
func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// writeFile makes a file have that content, whole or not at all, whatever happens.
func writeFile(fsys vfs.FS, name string, b []byte) error {
	if err := fsys.Remove(name + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(name + newSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(name+newSuffix, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// truncate cuts a file, for good.
func truncate(fsys vfs.FS, name string, size int64) error {
	f, err := fsys.Append(name)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// setAside keeps a copy of what was found in a file under another name, which nothing reads.
func setAside(fsys vfs.FS, name string, b []byte, taken func(name string) bool) (string, error) {
	aside := name + damagedName
	for n := 2; taken(aside); n++ {
		aside = fmt.Sprintf("%s%s.%d", name, damagedName, n)
	}
	return aside, writeFile(fsys, aside, b)
}
