package journal

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// However much is read, what is kept of it is bounded.
func TestCacheIsBounded(t *testing.T) {
	const limit = 100_000
	j, err := Open(Options{FS: memfs.New(), Fsync: Never, CacheBytes: limit, SegmentBytes: 200_000, TailBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		_, later, err := l.Append(&topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: fmt.Sprint(n), Payload: make([]byte, 1000)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := later.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for q := (topiclog.Query{Limit: topiclog.Limit{Records: 10, Bytes: 1 << 20}}); ; {
		answer := make(chan topiclog.Batch, 1)
		l.Read(q, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		total += len(b.Placements)
		held := 0
		j.cache.mu.Lock()
		for _, x := range j.cache.blocks {
			held += x.bytes
		}
		if held != j.cache.bytes || held > limit || len(j.cache.blocks) != j.cache.order.Len() {
			t.Fatalf("%d bytes of %d blocks are kept, %d counted", held, len(j.cache.blocks), j.cache.bytes)
		}
		j.cache.mu.Unlock()
		if q.After = b.Next; b.End() {
			break
		}
	}
	l.Close()
	if total != 1000 || len(j.cache.blocks) != 0 || j.cache.bytes != 0 {
		t.Errorf("read %d; a closed log keeps %d blocks", total, len(j.cache.blocks))
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
