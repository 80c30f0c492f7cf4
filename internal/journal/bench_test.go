package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// BenchmarkAppend is a record of 512 B: through the log, with as many under way as its queue takes, beside a loop that sums and
// writes the same bytes into one file, 1 MiB with one call. The row journal-append of bench/standing compares the two.
func BenchmarkAppend(b *testing.B) {
	r := &topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: "0123456789abcdef", Payload: make([]byte, 512)}
	b.Run("raw", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
		if err != nil {
			b.Fatal(err)
		}
		record := appendRecord(nil, 1, &waiting{Placement: topiclog.Placement{Record: r}})
		b.SetBytes(512)
		var buffer []byte
		for b.Loop() {
			buffer = append(buffer, record...)
			_ = sum(record)
			if len(buffer) >= 1<<20 {
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
		b.SetBytes(512)
		b.ReportAllocs()
		w := window{log: l}
		for b.Loop() {
			if err := w.append(r); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.wait(len(w.under)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// window is a publisher with as many appends under way as the log takes.
type window struct {
	log   *Log
	under []*topiclog.Later
}

// append waits for a quarter of what is under way when the log takes no more.
func (w *window) append(r *topiclog.Record) error {
	for {
		_, later, err := w.log.Append(r)
		if err == nil {
			w.under = append(w.under, later)
			return nil
		}
		if !errors.Is(err, ErrBusy) {
			return err
		}
		if err := w.wait(len(w.under)/4 + 1); err != nil {
			return err
		}
	}
}

// wait waits for the n oldest.
func (w *window) wait(n int) error {
	n = min(n, len(w.under))
	for _, later := range w.under[:n] {
		if _, err := later.Wait(context.Background()); err != nil {
			return err
		}
	}
	k := copy(w.under, w.under[n:])
	clear(w.under[k:])
	w.under = w.under[:k]
	return nil
}
