package memfs

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/streamweir/weir/internal/vfs"
)

// The errors of a file system that cannot do what is asked.
var (
	// ErrNoSpace is the full disk.
	ErrNoSpace error = syscall.ENOSPC

	// ErrReadOnly is the disk that was mounted anew after an error.
	ErrReadOnly error = syscall.EROFS

	// ErrCrashed is what a process is told that should be dead.
	ErrCrashed = errors.New("the machine has crashed")
)

// Kind is what an operation does.
type Kind string

// The operations.
const (
	Mkdir    Kind = "mkdir"
	Create   Kind = "create"
	Append   Kind = "append"
	Open     Kind = "open"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	List     Kind = "list"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
	Write    Kind = "write"
	Read     Kind = "read"
	Sync     Kind = "sync"
	Truncate Kind = "truncate"
	Look     Kind = "look"
)

// changes are the operations that a read-only file system refuses.
var changes = []Kind{Mkdir, Create, Append, Rename, Remove, Write, Truncate}

// Op is one operation that is about to be done.
type Op struct {
	N    int // from 1
	Kind Kind
	Name string
}

// FS is a vfs.FS in memory. Its zero value is not usable: New.
type FS struct {
	mu       sync.Mutex
	ops      int
	hook     func(Op) error
	capacity int64
	readOnly bool
	life     int // one more with each crash and kill: handles of earlier lives are dead
	boots    int
	now      names
	durable  names
	locked   map[string]int // name -> life
}

// names are the files and directories there are.
type names struct {
	files map[string]*inode
	dirs  map[string]bool
}

func (n names) clone() names { return names{maps.Clone(n.files), maps.Clone(n.dirs)} }

type inode struct {
	data   []byte
	synced []byte
	time   time.Time // of the last write
}

// New returns an empty file system.
func New() *FS {
	empty := names{map[string]*inode{}, map[string]bool{".": true}}
	return &FS{capacity: 1 << 40, now: empty, durable: empty.clone(), locked: map[string]int{}}
}

// Hook has f called before each operation, without a lock held: it may wait, and an error fails the operation. A Write that
// fails so has written half. nil ends it.
func (m *FS) Hook(f func(Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = f
}

// Ops is how many operations there were.
func (m *FS) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// SetCapacity says how many bytes all files may have.
func (m *FS) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// SetReadOnly refuses changes, or takes them again.
func (m *FS) SetReadOnly(readOnly bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readOnly = readOnly
}

// Crash is the end of the machine and its next start. Names that were not synced are as they were. Of a file what was
// synced is there, and of what was written behind that as many bytes as keep says (nil: none). Locks are gone; handles
// from before fail with ErrCrashed.
func (m *FS) Crash(keep func(name string, unsynced int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	m.loseLocked(keep)
}

// Remount is Crash on a machine that runs on: the file system has failed, and is mounted anew.
func (m *FS) Remount(keep func(name string, unsynced int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loseLocked(keep)
}

func (m *FS) loseLocked(keep func(name string, unsynced int) int) {
	m.life++
	m.hook, m.readOnly = nil, false
	m.now = m.durable.clone()
	for name, f := range m.now.files {
		n, data := len(f.synced), f.synced
		if keep != nil && len(f.data) > n {
			data = append(slices.Clone(f.synced), f.data[n:n+keep(name, len(f.data)-n)]...)
		}
		survivor := &inode{data: slices.Clone(data), synced: slices.Clone(data), time: f.time}
		m.now.files[name], m.durable.files[name] = survivor, survivor
	}
}

// Kill is the end of the process alone: what was written is there, handles from before fail, locks are gone.
func (m *FS) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life++
	m.hook = nil
}

// Clone is a second file system with the same content, all of it synced.
func (m *FS) Clone() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := New()
	c.now = m.now.clone()
	for name, f := range c.now.files {
		c.now.files[name] = &inode{data: slices.Clone(f.data), synced: slices.Clone(f.data), time: f.time}
	}
	c.durable = c.now.clone()
	return c
}

// Files are the names of all files, sorted.
func (m *FS) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.now.files))
}

// Data is what a file has: its own bytes, which the caller may change while nothing else is under way.
func (m *FS) Data(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.now.files[name]; f != nil {
		return f.data
	}
	return nil
}

// SetData makes a file have that content, synced.
func (m *FS) SetData(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &inode{data: slices.Clone(data), synced: slices.Clone(data), time: time.Now()}
	m.now.files[name], m.durable.files[name] = f, f
}

// begin counts an operation, asks the hook, and returns with the lock held unless it fails.
func (m *FS) begin(kind Kind, name string, life int) error {
	m.mu.Lock()
	m.ops++
	op, hook := Op{m.ops, kind, name}, m.hook
	if life < 0 {
		life = m.life
	}
	m.mu.Unlock()
	if hook != nil {
		if err := hook(op); err != nil {
			return &fs.PathError{Op: string(kind), Path: name, Err: err}
		}
	}
	m.mu.Lock()
	var err error
	switch {
	case life != m.life:
		err = ErrCrashed
	case m.readOnly && slices.Contains(changes, kind):
		err = ErrReadOnly
	}
	if err != nil {
		m.mu.Unlock()
		return &fs.PathError{Op: string(kind), Path: name, Err: err}
	}
	return nil
}

func failed(kind Kind, name string, err error) error {
	return &fs.PathError{Op: string(kind), Path: name, Err: err}
}

// MkdirAll implements vfs.FS.
func (m *FS) MkdirAll(dir string) error {
	if err := m.begin(Mkdir, dir, -1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for d := path.Clean(dir); d != "."; d = path.Dir(d) {
		m.now.dirs[d] = true
	}
	return nil
}

// Create implements vfs.FS.
func (m *FS) Create(name string) (vfs.File, error) {
	if err := m.begin(Create, name, -1); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	switch {
	case m.now.files[name] != nil:
		return nil, failed(Create, name, fs.ErrExist)
	case !m.now.dirs[path.Dir(name)]:
		return nil, failed(Create, name, fs.ErrNotExist)
	}
	m.now.files[name] = &inode{time: time.Now()}
	return m.handleLocked(name, true), nil
}

// Append implements vfs.FS.
func (m *FS) Append(name string) (vfs.File, error) { return m.open(Append, name) }

// Open implements vfs.FS.
func (m *FS) Open(name string) (vfs.File, error) { return m.open(Open, name) }

func (m *FS) open(kind Kind, name string) (vfs.File, error) {
	if err := m.begin(kind, name, -1); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.now.files[name] == nil {
		return nil, failed(kind, name, fs.ErrNotExist)
	}
	return m.handleLocked(name, kind == Append), nil
}

func (m *FS) handleLocked(name string, writes bool) *handle {
	return &handle{fs: m, name: name, file: m.now.files[name], life: m.life, writes: writes}
}

// Rename implements vfs.FS.
func (m *FS) Rename(from, to string) error {
	if err := m.begin(Rename, from, -1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	f := m.now.files[from]
	if f == nil {
		return failed(Rename, from, fs.ErrNotExist)
	}
	delete(m.now.files, from)
	m.now.files[to] = f
	return nil
}

// Remove implements vfs.FS.
func (m *FS) Remove(name string) error {
	if err := m.begin(Remove, name, -1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	switch {
	case m.now.files[name] != nil:
		delete(m.now.files, name)
	case m.now.dirs[name]:
		if len(m.listLocked(name)) > 0 {
			return failed(Remove, name, fs.ErrExist)
		}
		delete(m.now.dirs, name)
	default:
		return failed(Remove, name, fs.ErrNotExist)
	}
	return nil
}

// List implements vfs.FS.
func (m *FS) List(dir string) ([]vfs.Info, error) {
	if err := m.begin(List, dir, -1); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if !m.now.dirs[path.Clean(dir)] {
		return nil, failed(List, dir, fs.ErrNotExist)
	}
	return m.listLocked(path.Clean(dir)), nil
}

func (m *FS) listLocked(dir string) (infos []vfs.Info) {
	for name, f := range m.now.files {
		if path.Dir(name) == dir {
			infos = append(infos, vfs.Info{Name: path.Base(name), Size: int64(len(f.data)), Time: f.time})
		}
	}
	for name := range m.now.dirs {
		if name != "." && path.Dir(name) == dir {
			infos = append(infos, vfs.Info{Name: path.Base(name), Dir: true})
		}
	}
	slices.SortFunc(infos, func(a, b vfs.Info) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// SyncDir implements vfs.FS.
func (m *FS) SyncDir(dir string) error {
	if err := m.begin(SyncDir, dir, -1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	dir = path.Clean(dir)
	maps.DeleteFunc(m.durable.files, func(name string, _ *inode) bool { return path.Dir(name) == dir })
	for name, f := range m.now.files {
		if path.Dir(name) == dir {
			m.durable.files[name] = f
		}
	}
	maps.DeleteFunc(m.durable.dirs, func(name string, _ bool) bool { return name != "." && path.Dir(name) == dir })
	for name := range m.now.dirs {
		if name != "." && path.Dir(name) == dir {
			m.durable.dirs[name] = true
		}
	}
	return nil
}

// Lock implements vfs.FS.
func (m *FS) Lock(name string) (vfs.Lock, error) {
	if err := m.begin(Lock, name, -1); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if life, ok := m.locked[name]; ok && life == m.life {
		return nil, failed(Lock, name, vfs.ErrLocked)
	}
	if m.now.files[name] == nil {
		m.now.files[name] = &inode{time: time.Now()}
	}
	m.locked[name] = m.life
	return &held{m.handleLocked(name, false)}, nil
}

// held is a lock.
type held struct{ *handle }

// Close lets the lock go.
func (h *held) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.locked[h.name] == h.life {
		delete(h.fs.locked, h.name)
	}
	return nil
}

// Free implements vfs.FS.
func (m *FS) Free() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(0, m.capacity-m.usedLocked()), nil
}

// Boot implements vfs.FS: another one after each Crash, not after Kill.
func (m *FS) Boot() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strconv.Itoa(m.boots)
}

func (m *FS) usedLocked() (bytes int64) {
	for _, f := range m.now.files {
		bytes += int64(len(f.data))
	}
	return bytes
}
