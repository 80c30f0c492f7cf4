package journal

import (
	"fmt"
	"os"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// filled is a journal in memory, closed in order, with one topic of n records of so many bytes.
func filled(b *testing.B, n, bytes int, to func(i int) string) Options {
	dir, err := os.MkdirTemp("/dev/shm", "weir-bench-*")
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := Options{FS: vfs.Dir(dir), Fsync: Never, MaxBytes: 1 << 40, TailBytes: -1}
	j, l := opened(b, o)
	w := window{log: l}
	for i := range n {
		r := &topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: "0123456789abcdef", Payload: make([]byte, bytes), At: 1}
		r.To.Socket = to(i)
		if err := w.append(r); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.wait(len(w.under)); err != nil {
		b.Fatal(err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return o
}

func opened(b *testing.B, o Options) (*Journal, *Log) {
	j, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		b.Fatal(err)
	}
	return j, l
}

func forAll(int) string { return "" }

// BenchmarkOpen is the start of a topic of 1 GiB, with index files and without.
func BenchmarkOpen(b *testing.B) {
	o := filled(b, 1<<20, 950, forAll)
	for _, row := range []struct {
		name string
		from int64
	}{{"indexes", 0}, {"none", 1 << 40}} {
		b.Run(row.name, func(b *testing.B) {
			o.indexFrom = row.from
			for b.Loop() {
				if row.from > 0 {
					for dir, r := range mustResting(b, o) {
						for _, p := range r.segments {
							_ = o.FS.Remove(dir + "/" + indexName(p.base))
						}
					}
				}
				j, _ := opened(b, o)
				if err := j.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func mustResting(b *testing.B, o Options) map[string]resting {
	j, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return j.unopened()
}

// BenchmarkReadOneAmong is all that is for one reader of 1 M records, each for another socket but its own in the middle.
func BenchmarkReadOneAmong(b *testing.B) {
	const n = 1 << 20
	o := filled(b, n, 100, func(i int) string {
		if i == n/2 {
			return "mine"
		}
		return fmt.Sprint("s", i)
	})
	readAll := func(b *testing.B, l *Log, to *topiclog.Reader, after uint64, most int) int {
		found := 0
		for q := (topiclog.Query{After: after, For: to, Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}}); ; {
			answer := make(chan topiclog.Batch, 1)
			l.Read(q, func(b topiclog.Batch) { answer <- b })
			batch := <-answer
			if batch.Err != nil || batch.Lost {
				b.Fatalf("%+v", batch)
			}
			found += len(batch.Placements)
			if q.After = batch.Next; batch.End() || found >= most {
				return found
			}
		}
	}
	j, l := opened(b, o)
	b.Run("filters", func(b *testing.B) {
		for b.Loop() {
			if got := readAll(b, l, &topiclog.Reader{Socket: "mine"}, 0, n); got != 1 {
				b.Fatal(got)
			}
		}
		b.ReportMetric(float64(j.Stats().Blocks)/float64(b.N), "blocks/op")
	})
	b.Run("middle", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			j.Shed()
			if got := readAll(b, l, nil, uint64(i*7919%n), 1); got < 1 { //nolint:gosec // positive
				b.Fatal(got)
			}
		}
	})
	b.Run("everything", func(b *testing.B) {
		for b.Loop() {
			if got := readAll(b, l, nil, 0, n); got != n {
				b.Fatal(got)
			}
		}
	})
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}
