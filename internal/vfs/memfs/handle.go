package memfs

import (
	"io"
	"io/fs"
	"slices"
	"time"
)

// handle is an open file.
type handle struct {
	fs     *FS
	name   string
	file   *inode
	life   int
	writes bool
}

// Write implements vfs.File. One that fails has written half; on a full disk, what there was room for.
func (h *handle) Write(p []byte) (int, error) {
	if err := h.fs.begin(Write, h.name, h.life); err != nil {
		h.fs.mu.Lock()
		defer h.fs.mu.Unlock()
		if h.life != h.fs.life || h.fs.readOnly {
			return 0, err
		}
		h.file.data = append(h.file.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	defer h.fs.mu.Unlock()
	if !h.writes {
		return 0, failed(Write, h.name, fs.ErrPermission)
	}
	room := h.fs.capacity - h.fs.usedLocked()
	if int64(len(p)) > room {
		n := max(0, int(room))
		h.file.data = append(h.file.data, p[:n]...)
		return n, failed(Write, h.name, ErrNoSpace)
	}
	h.file.data = append(h.file.data, p...)
	h.file.time = time.Now()
	return len(p), nil
}

// ReadAt implements vfs.File.
func (h *handle) ReadAt(p []byte, at int64) (int, error) {
	if err := h.fs.begin(Read, h.name, h.life); err != nil {
		return 0, err
	}
	defer h.fs.mu.Unlock()
	if at >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Sync implements vfs.File.
func (h *handle) Sync() error {
	if err := h.fs.begin(Sync, h.name, h.life); err != nil {
		return err
	}
	defer h.fs.mu.Unlock()
	n := len(h.file.data)
	h.file.synced = h.file.data[:n:n]
	return nil
}

// Truncate implements vfs.File.
func (h *handle) Truncate(size int64) error {
	if err := h.fs.begin(Truncate, h.name, h.life); err != nil {
		return err
	}
	defer h.fs.mu.Unlock()
	if size > int64(len(h.file.data)) {
		return failed(Truncate, h.name, fs.ErrInvalid)
	}
	h.file.data = slices.Clone(h.file.data[:size])
	return nil
}

// Size implements vfs.File.
func (h *handle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return int64(len(h.file.data)), nil
}

// Named implements vfs.File and vfs.Lock.
func (h *handle) Named() (bool, error) {
	if err := h.fs.begin(Look, h.name, h.life); err != nil {
		return false, err
	}
	defer h.fs.mu.Unlock()
	return h.fs.now.files[h.name] == h.file, nil
}

// Close implements vfs.File.
func (h *handle) Close() error { return nil }
