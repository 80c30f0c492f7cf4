package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

const (
	appendPayload = 512
	appendRecord  = 585     // bytes of such a record in a segment
	appendWrite   = 1 << 20 // bytes of one write
	appendRounds  = 5
)

// appending measures records appended to the journal beside a bare loop of copies, sums and writes of as many bytes
// into one file. Each round has all of them, one after the other, and new files: what is judged are quotients within a
// round.
func appending(p plan) (*report.Run, error) {
	costs := map[string][]float64{}
	bare := "bare loop of sums and writes"
	ways := []struct {
		name string
		do   func(dir string, n int) (time.Duration, error)
	}{
		{bare, appendBare},
		{"interval", func(dir string, n int) (time.Duration, error) { return appendToLog(dir, journal.Interval, n) }},
		{"never", func(dir string, n int) (time.Duration, error) { return appendToLog(dir, journal.Never, n) }},
	}
	heap := make([]byte, 64<<20) // of a server: in a process that holds nothing the collector runs all the time
	defer runtime.KeepAlive(heap)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * runtime.NumCPU())) // of a server: shards and workers (cmd/weir/tuning.go); the bare loop needs one
	began := time.Now()
	for range appendRounds {
		for _, w := range ways {
			took, err := inDirectory(w.do, p.records)
			if err != nil {
				return nil, fmt.Errorf("append, %s: %w", w.name, err)
			}
			costs[w.name] = append(costs[w.name], float64(took.Nanoseconds())/1000/float64(p.records))
		}
	}
	r := &report.Run{Started: began, Seconds: time.Since(began).Seconds(), Target: "a directory of the operating system's for temporary files"}
	r.Title = fmt.Sprintf("%d records of %d B, %d times", p.records, appendPayload, appendRounds)
	for _, w := range ways {
		r.Figures = append(r.Figures, report.Figure{Name: "append, " + w.name, Value: rig.Median(costs[w.name]), Unit: "us", Main: true})
	}
	for _, w := range ways[1:] {
		quotient := rig.Median(rig.Pairwise(costs[bare], costs[w.name], func(a, b float64) float64 { return a / b }))
		r.Figures = append(r.Figures, report.Figure{Name: "of the bare loop, " + w.name, Value: quotient, Unit: "x", Main: true})
	}
	return r, nil
}

// inDirectory does something in a directory of its own.
func inDirectory(do func(dir string, n int) (time.Duration, error), n int) (took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "weir-append-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir, n)
}

// appendBare says how long it took until all was written.
func appendBare(dir string, n int) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return 0, err
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	record := make([]byte, appendRecord)
	buffer := make([]byte, 0, appendWrite+appendRecord)
	var sum uint32
	began := time.Now()
	for i := range n {
		buffer = append(buffer, record...)
		sum += crc32.Checksum(record, castagnoli)
		if len(buffer) < appendWrite && i < n-1 {
			continue
		}
		if _, err := f.Write(buffer); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		buffer = buffer[:0]
	}
	took := time.Since(began)
	record[0] = byte(sum) // it is used
	return took, f.Close()
}

// appendToLog says how long it took until all had their places, which is when they are written.
func appendToLog(dir string, fsync journal.Fsync, n int) (took time.Duration, err error) {
	j, err := journal.Open(journal.Options{FS: vfs.Dir(dir), Fsync: fsync, MaxBytes: 1 << 40})
	if err != nil {
		return 0, err
	}
	l, err := j.Topic("/bench", "records", topiclog.Limits{}, func(topiclog.Placement) {})
	if err == nil {
		err = appendAll(l, 1) // it makes the topic's directory and state, with a handful of syncs; the bare loop has its file too
	}
	if err == nil {
		began := time.Now()
		err = appendAll(l, n)
		took = time.Since(began)
	}
	return took, errors.Join(err, shut(j, n+1))
}

// shut closes a journal, which has to have so many records.
func shut(j *journal.Journal, n int) error {
	if got := j.Stats().Appended; got != uint64(n) { //nolint:gosec // not negative
		return fmt.Errorf("%d records of %d are in the journal", got, n)
	}
	return j.Close()
}

// appendAll appends records with as many under way as the log takes, and waits until all have their places.
func appendAll(l *journal.Log, n int) error {
	r := &topiclog.Record{Namespace: "/bench", Topic: "records", ID: "0123456789abcdef", Payload: make([]byte, appendPayload)}
	var under []*topiclog.Later
	waitFor := func(n int) error {
		for _, later := range under[:n] {
			if _, err := later.Wait(context.Background()); err != nil {
				return err
			}
		}
		under = append(under[:0], under[n:]...)
		return nil
	}
	for i := 0; i < n; {
		_, later, err := l.Append(r)
		switch {
		case err == nil:
			under = append(under, later)
			i++
		case !errors.Is(err, journal.ErrBusy):
			return err
		default:
			if err := waitFor(len(under)/4 + 1); err != nil {
				return err
			}
		}
	}
	return waitFor(len(under))
}
