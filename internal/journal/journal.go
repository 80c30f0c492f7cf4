package journal

import (
	"errors"
	"fmt"
	"io/fs"
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
	DropOldest                 // the oldest segment of any topic, open or not, that is not being written; if there is none, the topic's own
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
	FS            vfs.FS        // the journal's directory; the journal is alone in it
	Fsync         Fsync         // Interval
	Interval      time.Duration // 50 ms; also how often old records are looked for
	MaxBytes      int64         // of all files, those set aside included; 10 GiB
	WhenFull      WhenFull      // Refuse
	SegmentBytes  int64         // of one file, but for one record; 64 MiB
	UnsyncedBytes int64         // of a topic, written and not synced yet: then its writer waits for the disk; 256 MiB
	QueueBytes    int           // of Record.Size, waiting for the disk, in one topic; 4 MiB. One record always may
	QueuesBytes   int           // the same of all topics that place at once; 64 MiB
	CacheBytes    int           // of Record.Size, in blocks that readers share; 8 MiB
	TailBytes     int           // of Record.Size, of the newest records of a topic, kept in memory; 1 MiB. Negative: none are
	TailsBytes    int           // the same of all topics; 16 MiB
	Files         int           // open to be written, of all topics; 256. As many more, and one for each, may be open for a moment

	// Incidents is told what an operator should hear of; nil: nobody is. It is called by any goroutine, with no lock
	// held, and must not block.
	Incidents func(Incident)

	// Held is told by how many bytes what the journal holds in memory (tails, blocks, indexes, records that were placed at once and
	// wait for the disk) has grown, so that a budget can count it. It is called by any goroutine, with locks of the journal held,
	// and must not block; nil: nobody is.
	Held func(more int64)

	indexFrom    int64  // segments of so many bytes get an index file; 1 MiB
	reserveBlock uint64 // how many offsets are reserved together; 2^20
	portionBytes int    // how much is written and delivered together; 1 MiB
	besideBytes  int    // what is worth to be written while the next is numbered and the last delivered; 32 KiB
	beside       bool   // it is, whatever delivering takes; under Always it always is
	pace         pace   // of the look after the disk
}

func (o *Options) defaults() {
	set(&o.Interval, 50*time.Millisecond)
	set(&o.MaxBytes, 10<<30)
	set(&o.SegmentBytes, 64<<20)
	set(&o.UnsyncedBytes, 256<<20)
	set(&o.QueueBytes, 4<<20)
	set(&o.QueuesBytes, 64<<20)
	set(&o.CacheBytes, 8<<20)
	set(&o.TailBytes, 1<<20)
	set(&o.TailsBytes, 16<<20)
	set(&o.Files, 256)
	set(&o.indexFrom, 1<<20)
	set(&o.reserveBlock, 1<<20)
	set(&o.portionBytes, 1<<20)
	set(&o.besideBytes, 32<<10)
	o.beside = o.beside || o.Fsync == Always
	o.pace.defaults()
}

func set[T comparable](value *T, whenZero T) {
	var zero T
	if *value == zero {
		*value = whenZero
	}
}

// Journal is a directory of logs, of which one process is the owner.
type Journal struct {
	fs      *vfs.Watched
	options Options
	lock    vfs.Lock
	used    atomic.Int64 // bytes of all files that count
	cache   cache
	memory  [accounts]atomic.Int64
	stir    stir
	stats   counters

	shedUntil atomic.Int64 // nothing is held to be faster until then, nanoseconds since 1970
	unreadAt  atomic.Int64 // when it was last told that the disk cannot be read, nanoseconds since 1970
	health    health
	outputs   outputs
	ended     chan struct{}
	running   sync.WaitGroup // loop, runWatch, runProbe, readers, who opens or removes a topic

	mu      sync.Mutex
	closed  bool
	looping bool
	watched bool                // runWatch and runProbe run
	logs    map[string]*Log     // open, by directory
	busy    map[string]bool     // directories that somebody opens or removes at the moment
	resting map[string]*resting // those that nobody has opened
	aside   []aside             // files that were set aside, the oldest first

	readMu  sync.Mutex
	reads   []*read
	readers int
}

// Open takes a directory. It reads sizes only; a topic is recovered when it is opened. No goroutine runs before that.
// The error wraps vfs.ErrLocked if another process has it.
func Open(o Options) (*Journal, error) {
	o.defaults()
	j := &Journal{
		fs: vfs.Watch(o.FS), options: o, ended: make(chan struct{}), logs: map[string]*Log{}, busy: map[string]bool{}, resting: map[string]*resting{},
	}
	j.cache.init(j)
	j.outputs.most, j.outputs.room.L = o.Files, &j.outputs.mu
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
	j.prune()
	return j, nil
}

// Topic recovers the log of a topic, or begins one, with those limits; of Limits a zero bounds nothing. It may be
// called once for each topic. It reads all segments of the topic that have no index file. deliver is called for every
// record: see topiclog.Deliver.
func (j *Journal) Topic(namespace, topic string, limits topiclog.Limits, deliver topiclog.Deliver) (*Log, error) {
	return j.openTopic(&Log{j: j, namespace: namespace, topic: topic, limits: limits, deliver: deliver})
}

func (j *Journal) openTopic(l *Log) (*Log, error) {
	namespace, topic := l.namespace, l.topic
	if max(len(namespace), len(topic)) > maxText {
		return nil, fmt.Errorf("open the log of a topic: its name has more than %d bytes", maxText)
	}
	l.dir, l.syncer.room.L = directory(namespace, topic), &l.syncer.mu
	if err := j.hold(l.dir); err != nil {
		return nil, fmt.Errorf("open the log of %q %q: %w", namespace, topic, err)
	}
	err := l.recover()
	if err != nil && !errors.Is(err, topiclog.ErrClosed) {
		j.refused(Incident{Namespace: namespace, Topic: topic, Err: fmt.Errorf("open the log of %q %q: %w", namespace, topic, j.ofOneLog(err))}, 0)
	}
	if err == nil {
		l.beginPlaces()
		j.account(l)
		j.prune()
		l.retain(0) // limits may be lower than they were
		l.indexAll()
	}
	if err = j.letGo(l, err); err != nil {
		return nil, fmt.Errorf("open the log of %q %q: %w", namespace, topic, err)
	}
	return l, nil
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
	j.watchLocked()
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
func (j *Journal) forget(l *Log) {
	rest := &resting{namespace: l.namespace, topic: l.topic, bytes: l.stateBytes.Load(), given: l.next - 1}
	held := 0
	j.outputs.works(l)
	l.mu.Lock()
	for _, s := range l.segments {
		rest.bytes += s.bytes()
		rest.segments = append(rest.segments, part{s.base, s.bytes(), s.lastAt})
		held += s.held
	}
	less := l.tail.empty()
	l.mu.Unlock()
	j.mu.Lock()
	if delete(j.logs, l.dir); l.used() { // else there is nothing of it
		j.resting[l.dir] = rest
	}
	j.mu.Unlock()
	j.holds(tails, less)
	j.holds(indexes, -held)
}

// Remove takes away all that a topic has on disk, but for what was set aside. The topic must not be open.
func (j *Journal) Remove(namespace, topic string) error {
	dir := directory(namespace, topic)
	err := j.hold(dir)
	if err == nil {
		err = j.removeFiles(dir)
		j.release(dir)
	}
	if err != nil {
		return fmt.Errorf("remove the log of %q %q: %w", namespace, topic, err)
	}
	return nil
}

// release is the end of a hold without a log.
func (j *Journal) release(dir string) {
	j.mu.Lock()
	delete(j.busy, dir)
	j.mu.Unlock()
	j.running.Done()
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
		if isAside(f.Name) {
			continue
		}
		if err := j.fs.Remove(path.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	j.mu.Lock()
	if r := j.resting[dir]; r != nil {
		j.used.Add(-r.bytes)
	}
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
