package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// BenchmarkAppend is a record of 512 B: through the log, with as many under way as its queue takes, beside a loop that sums and
// writes the same bytes into one file, 1 MiB with one call. The log must reach 0.7 of the loop.
func BenchmarkAppend(b *testing.B) {
	r := &topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: "0123456789abcdef", Payload: make([]byte, 512)}
	b.Run("raw", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
		if err != nil {
			b.Fatal(err)
		}
		record := appendRecord(nil, 1, topiclog.Placement{Record: r})
		b.SetBytes(512)
		var buffer []byte
		for b.Loop() {
			buffer = append(buffer, record...)
			_ = sum(record)
			if len(buffer) >= batchBytes {
				if _, err := f.Write(buffer); err != nil {
					b.Fatal(err)
				}
				buffer = buffer[:0]
			}
		}
		if _, err := f.Write(buffer); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("log", func(b *testing.B) {
		j, err := Open(Options{FS: vfs.Dir(b.TempDir()), Fsync: Never, MaxBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			b.Fatal(err)
		}
		var last *topiclog.Later
		b.SetBytes(512)
		b.ReportAllocs()
		for b.Loop() {
			_, later, err := l.Append(r)
			for err != nil {
				if _, waited := last.Wait(b.Context()); waited != nil {
					b.Fatal(waited)
				}
				_, later, err = l.Append(r)
			}
			last = later
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
