package journal

import (
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/streamweir/weir/internal/vfs"
)

// LogInfo is a topic that has something on the disk.
type LogInfo struct {
	Namespace, Topic string // both "" = no file of it can be read that says so
	Open             bool
	Segments         int
	Bytes            int64     // of its files, but for those set aside
	Newest           time.Time // when about its newest record was appended; zero: there is none
}

// Topics lists what is on the disk, open or not, in no order. It reads a small file for each topic that was never opened.
func (j *Journal) Topics() ([]LogInfo, error) {
	var all []LogInfo
	for _, l := range j.open() {
		s := l.Stats()
		l.mu.RLock()
		info := LogInfo{Namespace: l.namespace, Topic: l.topic, Open: true, Segments: s.Segments, Bytes: s.Bytes + l.stateBytes.Load()}
		for _, g := range l.segments {
			if g.records > 0 {
				info.Newest = time.Unix(0, g.lastAt)
			}
		}
		l.mu.RUnlock()
		all = append(all, info)
	}
	for dir, r := range j.unopened() {
		if r.topic == "" && r.namespace == "" {
			var err error
			if r.namespace, r.topic, err = namesIn(j.fs, dir); err != nil {
				return all, err
			}
			j.mu.Lock()
			if known := j.resting[dir]; known != nil {
				known.namespace, known.topic = r.namespace, r.topic
			}
			j.mu.Unlock()
		}
		info := LogInfo{Namespace: r.namespace, Topic: r.topic, Segments: len(r.segments), Bytes: r.bytes}
		if n := len(r.segments); n > 0 {
			info.Newest = time.Unix(0, r.segments[n-1].at)
		}
		all = append(all, info)
	}
	return all, nil
}

// unopened is a copy of what is known of logs that nobody has opened.
func (j *Journal) unopened() map[string]resting {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make(map[string]resting, len(j.resting))
	for dir, r := range j.resting {
		all[dir] = *r
	}
	return all
}

// namesIn finds out which topic's log is in a directory: its state says so, and each segment. Both are "" if nothing is
// left that does.
func namesIn(fsys vfs.FS, dir string) (namespace, topic string, err error) {
	b, err := readFile(fsys, path.Join(dir, stateName))
	if err == nil {
		if s, _, err := decodeState(b); err == nil {
			return s.Namespace, s.Topic, nil
		}
	}
	files, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	for _, f := range files {
		if _, ok := segmentBase(f.Name); !ok {
			continue
		}
		file, err := fsys.Open(path.Join(dir, f.Name))
		if err != nil {
			continue
		}
		h, err := headOf(file)
		_ = file.Close() // nothing was written
		if err == nil && directory(h.Namespace, h.Topic) == dir {
			return h.Namespace, h.Topic, nil
		}
	}
	return "", "", nil
}
