package main

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// logWriter stands between the server and where its log goes, which may stop
// taking lines: a full pipe, a terminal on hold. The server never waits for it.
// Lines beyond logLines are lost, and counted in a line of their own once it takes
// lines again.
type logWriter struct {
	out   io.Writer
	lost  atomic.Uint64
	said  func(lost uint64) []byte // the line that tells of losses
	lines chan []byte
	done  chan struct{}
}

const (
	logLines = 4096        // that may wait
	logFlush = time.Second // how long the last lines may take
)

func newLogWriter(out io.Writer, said func(uint64) []byte) *logWriter {
	w := &logWriter{out: out, said: said, lines: make(chan []byte, logLines), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line. It may be called concurrently, not after Close.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.lost.Add(1)
	}
	return len(line), nil
}

// run writes until Close; a write that fails has nobody to be told.
func (w *logWriter) run() {
	defer close(w.done)
	for line := range w.lines {
		_, _ = w.out.Write(line)
		if n := w.lost.Swap(0); n > 0 {
			_, _ = w.out.Write(w.said(n))
		}
	}
}

// Close waits for the lines taken so far, for a second at most.
func (w *logWriter) Close() {
	close(w.lines)
	select {
	case <-w.done:
	case <-time.After(logFlush):
	}
}

func lostText(n uint64) []byte {
	return fmt.Appendf(nil, "level=WARN msg=\"log lines lost: nobody took them\" lines=%d\n", n)
}

func lostJSON(n uint64) []byte {
	return fmt.Appendf(nil, "{\"level\":\"WARN\",\"msg\":\"log lines lost: nobody took them\",\"lines\":%d}\n", n)
}
