package journal

import (
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/latency"
)

// account is something that the journal holds in memory.
type account uint8

// The accounts.
const (
	tails account = iota
	blocks
	indexes
	queued // records that were placed at once, and are not written
	accounts
)

// holds counts bytes of memory more, or less.
func (j *Journal) holds(a account, more int) {
	if more == 0 {
		return
	}
	j.memory[a].Add(int64(more))
	if j.options.Held != nil {
		j.options.Held(int64(more))
	}
}

// tailRoom is how many bytes the tail of a log may have.
func (j *Journal) tailRoom(t *tail) int {
	if j.frugal() {
		return 0
	}
	others := j.memory[tails].Load() - int64(t.bytes)
	return max(0, min(j.options.TailBytes, int(int64(j.options.TailsBytes)-others)))
}

// shedFor is for how long nothing more is held after Shed.
const shedFor = 5 * time.Second

// frugal reports whether nothing is held in memory to be faster at the moment, see Shed.
func (j *Journal) frugal() bool {
	until := j.shedUntil.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// Shed lets go of what the journal holds in memory only to be faster: tails and blocks that were read. Nothing more is
// held for five seconds: readers read from the disk.
func (j *Journal) Shed() {
	j.shedUntil.Store(time.Now().Add(shedFor).UnixNano())
	for _, l := range j.open() {
		l.mu.Lock()
		less := l.tail.empty()
		l.mu.Unlock()
		j.holds(tails, less)
	}
	j.cache.drop(nil)
}

// counters count since Open.
type counters struct {
	appended, bytes, syncs, failed, damaged, torn, unsynced, dropped, pruned atomic.Uint64

	busy       atomic.Uint64 // appends refused because too much waits for the disk
	syncTime   latency.Histogram
	readFaults atomic.Uint64
	tailReads  atomic.Uint64
	diskReads  atomic.Uint64
	blocksRead atomic.Uint64
}

// Stats are figures; counts are since Open.
type Stats struct {
	Appended uint64               // records
	Bytes    uint64               // written for them
	Syncs    uint64               // of segments
	SyncTime latency.Distribution // how long they took
	Failed   uint64               // appends that a file system or the budget has refused
	Busy     uint64               // appends refused with ErrBusy
	Unsynced uint64               // syncs that have failed
	Damaged  uint64               // times that something was not what had been written
	Torn     uint64               // ends of segments that were never completed
	Dropped  uint64               // segments that gave way to others because the budget was used up
	Pruned   uint64               // files set aside that gave way to newer ones

	TailReads uint64 // reads answered from memory
	DiskReads uint64 // reads that a goroutine has answered
	Blocks    uint64 // blocks that came from the disk
	Unread    uint64 // reads that an error of the disk has ended

	Used       int64 // bytes on the disk that count against Options.MaxBytes
	Limit      int64 // Options.MaxBytes
	Aside      int   // files that were set aside and are there
	AsideBytes int64

	// What is held in memory, in bytes.
	TailBytes, BlockBytes, IndexBytes int64
	QueuedBytes                       int64 // of records that were placed at once, and are not written

	Troubles []Trouble // what is wrong with the disk

	OpenFiles    int // to be written
	Resting      int // topics on the disk that nobody has opened
	RestingBytes int64
	Topics       []LogStats // that are open, in no order
}

// LogStats are figures of an open topic.
type LogStats struct {
	Namespace, Topic string
	First, Last      uint64    // as of topiclog.Span
	Records          int       // on the disk
	Bytes            int64     // of its files
	Segments         int       // files
	Oldest           time.Time // when about the oldest record was published; zero: there is none
	Waiting          int       // bytes of Record.Size that wait for the disk
	Unsynced         int64     // bytes that were written and not synced
}

// Stats returns the figures. They are not of one moment, and no writer waits for them longer than for a look at the segments of its
// topic.
func (j *Journal) Stats() Stats {
	c := &j.stats
	s := Stats{
		Appended: c.appended.Load(), Bytes: c.bytes.Load(), Syncs: c.syncs.Load(), Failed: c.failed.Load(), Busy: c.busy.Load(),
		Unsynced: c.unsynced.Load(), Damaged: c.damaged.Load(), Torn: c.torn.Load(), Dropped: c.dropped.Load(), Pruned: c.pruned.Load(),
		TailReads: c.tailReads.Load(), DiskReads: c.diskReads.Load(), Blocks: c.blocksRead.Load(), Unread: c.readFaults.Load(),
		Used: j.used.Load(), Limit: j.options.MaxBytes,
		TailBytes: j.memory[tails].Load(), BlockBytes: j.memory[blocks].Load(), IndexBytes: j.memory[indexes].Load(), QueuedBytes: j.memory[queued].Load(),
	}
	s.SyncTime.Add(&c.syncTime)
	s.Troubles = j.Troubles()
	s.OpenFiles = j.outputs.count()
	j.mu.Lock()
	s.Aside = len(j.aside)
	for _, a := range j.aside {
		s.AsideBytes += a.bytes
	}
	s.Resting = len(j.resting)
	for _, r := range j.resting {
		s.RestingBytes += r.bytes
	}
	j.mu.Unlock()
	for _, l := range j.open() {
		s.Topics = append(s.Topics, l.Stats())
	}
	return s
}

// Stats returns the figures of one topic.
func (l *Log) Stats() LogStats {
	s := LogStats{Namespace: l.namespace, Topic: l.topic}
	l.backlog.mu.Lock()
	s.Waiting = l.backlog.bytes
	l.backlog.mu.Unlock()
	l.syncer.mu.Lock()
	s.Unsynced = l.syncer.unsynced
	l.syncer.mu.Unlock()
	l.mu.RLock()
	defer l.mu.RUnlock()
	span := l.spanLocked()
	s.First, s.Last, s.Segments = span.First, span.Last, len(l.segments)
	for _, g := range l.segments {
		s.Bytes += g.bytes()
		if s.Records == 0 && g.records > 0 {
			s.Oldest = time.Unix(0, g.firstAt)
		}
		s.Records += g.records
	}
	return s
}
