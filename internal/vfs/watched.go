package vfs

import (
	"sync"
	"time"
)

// Watched is an FS that knows which of its operations are under way: a disk that hangs returns nothing, and is seen by
// what began and did not end.
type Watched struct {
	fs FS

	mu    sync.Mutex
	under underWay // its next is the operation that began first
	spare *underWay
}

// underWay is an operation that has not returned, in a ring.
type underWay struct {
	what       string
	began      time.Time
	prev, next *underWay
}

var _ FS = (*Watched)(nil)

// Watch returns an FS that does what another one does.
func Watch(fs FS) *Watched {
	w := &Watched{fs: fs}
	w.under.next, w.under.prev = &w.under, &w.under
	return w
}

// Oldest is the operation that has been under way for longest, as a word, and when it began; "" if there is none.
func (w *Watched) Oldest() (what string, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.under.next
	return o.what, o.began // the ring's own has none
}

// begin notes an operation. Its caller ends it with the result.
func (w *Watched) begin(what string) *underWay {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.spare
	if o == nil {
		o = new(underWay)
	} else {
		w.spare = o.next
	}
	last := w.under.prev
	*o = underWay{what: what, began: now, prev: last, next: &w.under}
	last.next, w.under.prev = o, o
	return o
}

func (w *Watched) end(o *underWay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.prev.next, o.next.prev = o.next, o.prev
	*o = underWay{next: w.spare}
	w.spare = o
}

// MkdirAll implements FS.
func (w *Watched) MkdirAll(dir string) error {
	defer w.end(w.begin("making a directory"))
	return w.fs.MkdirAll(dir)
}

// Create implements FS.
func (w *Watched) Create(name string) (File, error) {
	defer w.end(w.begin("making a file"))
	return w.file(w.fs.Create(name))
}

// Append implements FS.
func (w *Watched) Append(name string) (File, error) {
	defer w.end(w.begin("opening a file"))
	return w.file(w.fs.Append(name))
}

// Open implements FS.
func (w *Watched) Open(name string) (File, error) {
	defer w.end(w.begin("opening a file"))
	return w.file(w.fs.Open(name))
}

// Rename implements FS.
func (w *Watched) Rename(from, to string) error {
	defer w.end(w.begin("renaming a file"))
	return w.fs.Rename(from, to)
}

// Remove implements FS.
func (w *Watched) Remove(name string) error {
	defer w.end(w.begin("removing a file"))
	return w.fs.Remove(name)
}

// List implements FS.
func (w *Watched) List(dir string) ([]Info, error) {
	defer w.end(w.begin("listing a directory"))
	return w.fs.List(dir)
}

// SyncDir implements FS.
func (w *Watched) SyncDir(dir string) error {
	defer w.end(w.begin("a sync"))
	return w.fs.SyncDir(dir)
}

// Lock implements FS.
func (w *Watched) Lock(name string) (Lock, error) {
	defer w.end(w.begin("locking a file"))
	lock, err := w.fs.Lock(name)
	if err != nil {
		return nil, err
	}
	return &watchedLock{lock, w}, nil
}

// Free implements FS.
func (w *Watched) Free() (int64, error) {
	defer w.end(w.begin("asking for free space"))
	return w.fs.Free()
}

// Boot implements FS. It does not ask the disk.
func (w *Watched) Boot() string { return w.fs.Boot() }

func (w *Watched) file(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &watchedFile{f, w}, nil
}

// watchedFile is a file of a Watched.
type watchedFile struct {
	file File
	of   *Watched
}

// Write implements File.
func (f *watchedFile) Write(p []byte) (int, error) {
	defer f.of.end(f.of.begin("a write"))
	return f.file.Write(p)
}

// ReadAt implements File.
func (f *watchedFile) ReadAt(p []byte, at int64) (int, error) {
	defer f.of.end(f.of.begin("a read"))
	return f.file.ReadAt(p, at)
}

// Close implements File.
func (f *watchedFile) Close() error {
	defer f.of.end(f.of.begin("closing a file"))
	return f.file.Close()
}

// Sync implements File.
func (f *watchedFile) Sync() error {
	defer f.of.end(f.of.begin("a sync"))
	return f.file.Sync()
}

// Truncate implements File.
func (f *watchedFile) Truncate(size int64) error {
	defer f.of.end(f.of.begin("cutting a file"))
	return f.file.Truncate(size)
}

// Size implements File.
func (f *watchedFile) Size() (int64, error) {
	defer f.of.end(f.of.begin("a look at a file"))
	return f.file.Size()
}

// Named implements File.
func (f *watchedFile) Named() (bool, error) {
	defer f.of.end(f.of.begin("a look at a file"))
	return f.file.Named()
}

// watchedLock is a lock of a Watched.
type watchedLock struct {
	Lock
	of *Watched
}

// Named implements Lock.
func (l *watchedLock) Named() (bool, error) {
	defer l.of.end(l.of.begin("a look at a file"))
	return l.Lock.Named()
}
