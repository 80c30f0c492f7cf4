package main

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/aside"
)

// logWriter stands between the server and where its log goes, which may stop
// taking lines: a full pipe, a terminal on hold, a full disk. The server never
// waits for it. Lines beyond logLines or logBytes, and those it has refused, are
// lost, and counted in a line of their own once it takes lines again. All methods
// may be called concurrently, and at any time.
type logWriter struct {
	out   io.Writer
	said  func(lost uint64) []byte // the line that tells of losses
	lines *aside.Queue[[]byte]
	lost  atomic.Uint64
	torn  bool // the last line was written in part; the queue's goroutine
}

const (
	logLines = 4096        // that may wait
	logBytes = 16 << 20    // of them
	logFlush = time.Second // how long the last lines may take
)

func newLogWriter(out io.Writer, said func(uint64) []byte) *logWriter {
	w := &logWriter{out: out, said: said}
	w.lines = aside.New(aside.Limits{Items: logLines, Bytes: logBytes}, w.write)
	return w
}

// Write takes one line, and reports no failure.
func (w *logWriter) Write(line []byte) (int, error) {
	if !w.lines.Put(bytes.Clone(line), len(line)) {
		w.lost.Add(1)
	}
	return len(line), nil
}

// write is called by the queue's goroutine.
func (w *logWriter) write(line []byte) {
	if !w.put(line) {
		w.lost.Add(1)
		return
	}
	if n := w.lost.Swap(0); n > 0 && !w.put(w.said(n)) {
		w.lost.Add(n)
	}
}

// put writes a line, on one of its own also when the line before it was cut short.
func (w *logWriter) put(line []byte) bool {
	if w.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := w.out.Write(line)
	if n > 0 {
		w.torn = err != nil && line[n-1] != '\n'
	}
	return err == nil
}

// Flush waits for the lines taken so far, for a second at most.
func (w *logWriter) Flush() { w.lines.Flush(logFlush) }

func lostText(n uint64) []byte {
	return fmt.Appendf(nil, "level=WARN msg=\"log lines lost: nobody took them\" lines=%d\n", n)
}

func lostJSON(n uint64) []byte {
	return fmt.Appendf(nil, "{\"level\":\"WARN\",\"msg\":\"log lines lost: nobody took them\",\"lines\":%d}\n", n)
}
