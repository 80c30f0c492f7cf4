package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// Fsync says what an append has survived when it succeeds.
type Fsync uint8

// The policies. Under all of them success comes after write(2): a process that is killed loses nothing it has confirmed.
const (
	// Interval syncs every Options.Interval: a machine that fails loses at most what was appended since.
	Interval Fsync = iota

	// Always syncs before a record is delivered: nothing that was confirmed or seen is lost.
	Always

	// Never leaves it to the operating system, but for segments that are complete: a machine that fails loses some tens of
	// seconds.
	Never
)

// WhenFull says what gives way when the budget of the journal is used up.
type WhenFull uint8

// What gives way.
const (
	Refuse     WhenFull = iota // the append: ErrNoRoom
	DropOldest                 // the oldest segment of an open topic that is not being written; if there is none, the topic's own
)

// What an append may be told besides the errors of topiclog.
var (
	// ErrBusy says that the disk is slower than the appends: Options.QueueBytes wait for it.
	ErrBusy = fmt.Errorf("too much waits for the disk: %w", topiclog.ErrFull)

	// ErrNoRoom says that the journal's budget is used up.
	ErrNoRoom = fmt.Errorf("the journal has as many bytes as it may: %w", topiclog.ErrFull)
)

// Options say where and how. The zero value of each is the default, except FS, which has none.
type Options struct {
	FS           vfs.FS        // the journal's directory; the journal is alone in it
	Fsync        Fsync         // Interval
	Interval     time.Duration // 50 ms; also how often old records are looked for
	MaxBytes     int64         // of all files; 10 GiB
	WhenFull     WhenFull      // Refuse
	SegmentBytes int64         // of one file, but for one record; 64 MiB
	QueueBytes   int           // of Record.Size, waiting for the disk, in one topic; 4 MiB. One record always may
	CacheBytes   int           // of Record.Size, in blocks that readers share; 8 MiB
	Logger       *slog.Logger  // nil: nothing is logged
}

func (o *Options) defaults() {
	set(&o.Interval, 50*time.Millisecond)
	set(&o.MaxBytes, 10<<30)
	set(&o.SegmentBytes, 64<<20)
	set(&o.QueueBytes, 4<<20)
	set(&o.CacheBytes, 8<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func set[T comparable](value *T, whenZero T) {
	var zero T
	if *value == zero {
		*value = whenZero
	}
}

// Journal is a directory of logs, of which one process is the owner.
type Journal struct {
	fs      vfs.FS
	options Options
	log     *slog.Logger
	lock    io.Closer
	used    atomic.Int64 // bytes of all files that count
	cache   cache
	stats   counters
	ended   chan struct{}
	running sync.WaitGroup // loop, readers

	mu      sync.Mutex
	closed  bool
	looping bool
	logs    map[string]*Log  // open, by directory
	busy    map[string]bool  // directories that somebody opens or removes at the moment
	resting map[string]int64 // bytes of those that nobody has opened

	readMu  sync.Mutex
	reads   []*read
	readers int
}

// Open takes a directory. It reads sizes only; a topic is recovered when it is opened. No goroutine runs before that.
// The error wraps vfs.ErrLocked if another process has it.
func Open(o Options) (*Journal, error) {
	o.defaults()
	j := &Journal{
		fs: o.FS, options: o, log: o.Logger, ended: make(chan struct{}), logs: map[string]*Log{}, busy: map[string]bool{}, resting: map[string]int64{},
	}
	j.cache.init(o.CacheBytes)
	if err := j.fs.MkdirAll("."); err != nil {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	lock, err := j.fs.Lock(lockName)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	j.lock = lock
	if err := j.count(); err != nil {
		return nil, errors.Join(fmt.Errorf("look through the journal: %w", err), lock.Close())
	}
	return j, nil
}

// count adds up what is there.
func (j *Journal) count() error {
	dirs, err := j.fs.List(".")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !d.Dir || !isDirectory(d.Name) {
			continue
		}
		n, err := j.bytesIn(d.Name)
		if err != nil {
			return err
		}
		j.resting[d.Name] = n
		j.used.Add(n)
	}
	return nil
}

// bytesIn is how many bytes the segments in a directory have.
func (j *Journal) bytesIn(dir string) (bytes int64, err error) {
	files, err := j.fs.List(dir)
	for _, f := range files {
		if _, ok := segmentBase(f.Name); ok {
			bytes += f.Size
		}
	}
	return bytes, err
}

// Topic recovers the log of a topic, or begins one, with those limits; of Limits a zero bounds nothing. It may be called once
// for each topic, and reads all that the topic has on disk. deliver is called for every record: see topiclog.Deliver.
func (j *Journal) Topic(namespace, topic string, limits topiclog.Limits, deliver topiclog.Deliver) (*Log, error) {
	if max(len(namespace), len(topic)) > maxText {
		return nil, fmt.Errorf("open the log of a topic: its name has more than %d bytes", maxText)
	}
	l := &Log{j: j, namespace: namespace, topic: topic, dir: directory(namespace, topic), limits: limits, deliver: deliver}
	if err := j.hold(l.dir); err != nil {
		return nil, fmt.Errorf("open the log of %q %q: %w", namespace, topic, err)
	}
	err := l.recover()
	if err == nil {
		j.account(l)
		l.retain(0) // limits may be lower than they were
	}
	if err = j.letGo(l, err); err != nil {
		return nil, fmt.Errorf("open the log of %q %q: %w", namespace, topic, err)
	}
	return l, nil
}

// account counts what a log has instead of what its directory had.
func (j *Journal) account(l *Log) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used.Add(-j.resting[l.dir])
	delete(j.resting, l.dir)
	for _, s := range l.segments {
		j.used.Add(s.end)
	}
}

// errOpen says that a log has an owner.
var errOpen = errors.New("it is open")

// hold makes the caller the only one at a directory; Close waits for it.
func (j *Journal) hold(dir string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return topiclog.ErrClosed
	case j.logs[dir] != nil || j.busy[dir]:
		return errOpen
	}
	j.busy[dir] = true
	j.running.Add(1)
	return nil
}

// letGo is the end of a hold: the log is open if there was no error.
func (j *Journal) letGo(l *Log, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.running.Done()
	delete(j.busy, l.dir)
	switch {
	case err != nil:
		return err
	case j.closed:
		return topiclog.ErrClosed
	}
	j.logs[l.dir] = l
	if !j.looping {
		j.looping = true
		j.running.Go(j.loop)
	}
	return nil
}

// forget is the end of a log that was closed.
func (j *Journal) forget(l *Log, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.logs, l.dir)
	j.resting[l.dir] = bytes
}

// Remove takes away all that a topic has on disk, but for what was set aside. The topic must not be open.
func (j *Journal) Remove(namespace, topic string) error {
	dir := directory(namespace, topic)
	err := j.hold(dir)
	if err == nil {
		err = j.removeFiles(dir)
		j.mu.Lock()
		delete(j.busy, dir)
		j.mu.Unlock()
		j.running.Done()
	}
	if err != nil {
		return fmt.Errorf("remove the log of %q %q: %w", namespace, topic, err)
	}
	return nil
}

func (j *Journal) removeFiles(dir string) error {
	files, err := j.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		_, isSegment := segmentBase(f.Name)
		if !isSegment && f.Name != stateName {
			continue
		}
		if err := j.fs.Remove(path.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	j.mu.Lock()
	j.used.Add(-j.resting[dir])
	delete(j.resting, dir)
	j.mu.Unlock()
	_ = j.fs.Remove(dir) // it stays if something was set aside
	return j.fs.SyncDir(".")
}

// loop has logs synced and old records removed. Close ends it.
func (j *Journal) loop() {
	tick := time.NewTicker(j.options.Interval)
	defer tick.Stop()
	for {
		select {
		case <-j.ended:
			return
		case now := <-tick.C:
			for _, l := range j.open() {
				l.tend(now.UnixNano())
			}
		}
	}
}

// open is a copy of the list of logs.
func (j *Journal) open() []*Log {
	j.mu.Lock()
	defer j.mu.Unlock()
	logs := make([]*Log, 0, len(j.logs))
	for _, l := range j.logs {
		logs = append(logs, l)
	}
	return logs
}

// charge takes bytes from the budget, and makes room for them if it may. No lock may be held.
func (j *Journal) charge(bytes int64) error {
	for {
		used := j.used.Load()
		switch {
		case used+bytes <= j.options.MaxBytes:
			if j.used.CompareAndSwap(used, used+bytes) {
				return nil
			}
		case j.options.WhenFull == Refuse:
			return ErrNoRoom
		case !j.dropOldest() && j.used.Load() == used:
			return ErrNoRoom
		}
	}
}

// dropOldest removes the segment with the oldest records of those that are not written any more.
func (j *Journal) dropOldest() bool {
	oldest := j.oldest()
	return oldest != nil && oldest.dropSealed()
}

// oldest is the log that has it.
func (j *Journal) oldest() (oldest *Log) {
	var at int64
	for _, l := range j.open() {
		if t, ok := l.oldest(); ok && (oldest == nil || t < at) {
			oldest, at = l, t
		}
	}
	return oldest
}

// damage says loudly that something on the disk is not what was written.
func (j *Journal) damage(what, dir, name string) {
	j.stats.damaged.Add(1)
	j.log.Error("journal: "+what, "file", path.Join(dir, name))
}

// Close closes all logs, and lets the directory go. It may be called twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	for _, l := range j.open() {
		l.Close()
	}
	if first {
		close(j.ended)
	}
	j.running.Wait()
	if first {
		return j.lock.Close()
	}
	return nil
}

// counters count since Open.
type counters struct {
	appended, bytes, syncs, failed, damaged, torn atomic.Uint64
}

// Stats are figures since Open.
type Stats struct {
	Appended uint64 // records
	Bytes    uint64 // written for them
	Syncs    uint64 // of segments
	Failed   uint64 // appends that a file system or the budget has refused
	Damaged  uint64 // files in which something was not what had been written
	Torn     uint64 // ends of segments that were never completed
	Used     int64  // bytes on the disk that count against Options.MaxBytes
}

// Stats returns the figures; they are not of one moment.
func (j *Journal) Stats() Stats {
	c := &j.stats
	return Stats{c.appended.Load(), c.bytes.Load(), c.syncs.Load(), c.failed.Load(), c.damaged.Load(), c.torn.Load(), j.used.Load()}
}
