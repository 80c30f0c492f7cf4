package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// perChunk is how many lines of a batch are sent in one piece.
const perChunk = 256

// batch streams the message, line after line, as one POST /api/publish/batch for p.duration, and counts the lines of
// the answer beside it. What is counted is results, not lines sent; each line must have one, and none may be an error.
// The pieces are made before, so that it costs a copy.
func batch(p plan) (*report.Run, error) {
	c, err := net.Dial("tcp4", p.to)
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	defer c.Close() //nolint:errcheck // everything was read
	if err := c.SetDeadline(time.Now().Add(warmUp + p.duration + answerPatience)); err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	type sending struct {
		lines int
		err   error
	}
	sent := make(chan sending, 1)
	end := time.Now().Add(warmUp + p.duration)
	go func() {
		lines, err := sendLines(c, p.to, end)
		sent <- sending{lines, err}
	}()
	run, results, err := readResults(c, p, end)
	if err != nil {
		c.Close() //nolint:errcheck,gosec // ends sendLines
		return nil, errors.Join(err, (<-sent).err)
	}
	s := <-sent
	if s.err != nil {
		return nil, s.err
	}
	run.Scenario, run.Target = "batch", "http://"+p.to+"/api/publish/batch"
	run.Title = fmt.Sprintf("one batch, lines of %d B as fast as they are read", len(message)+1)
	run.Verdicts = []report.Verdict{{OK: results == s.lines, Text: fmt.Sprintf("%d lines of a batch have %d results", s.lines, results)}}
	return run, nil
}

// sendLines writes the request until end, and how it ends.
func sendLines(c net.Conn, to string, end time.Time) (lines int, err error) {
	_, err = fmt.Fprintf(c, "POST /api/publish/batch HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n", to)
	data := strings.Repeat(message+"\n", perChunk)
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(data), data)
	for err == nil && time.Now().Before(end) {
		if _, err = c.Write(chunk); err == nil {
			lines += perChunk
		}
	}
	if err == nil {
		_, err = io.WriteString(c, "0\r\n\r\n")
	}
	if err != nil {
		return lines, fmt.Errorf("batch: send lines: %w", err)
	}
	return lines, nil
}

// readResults counts to the end of the answer; the run is of those between the warm-up and end.
func readResults(c net.Conn, p plan, end time.Time) (run *report.Run, results int, err error) {
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 64<<10), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("batch: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	var m *meter
	before := 0 // results at its start
	buffer := make([]byte, 64<<10)
	for {
		n, err := answer.Body.Read(buffer)
		if answer.StatusCode != http.StatusOK || bytes.Contains(buffer[:n], []byte(`"error"`)) {
			return nil, 0, fmt.Errorf("batch: answered %s: %.300q", answer.Status, buffer[:n])
		}
		results += bytes.Count(buffer[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, fmt.Errorf("batch: read results: %w", err)
		}
		switch now := time.Now(); {
		case m == nil && now.After(end.Add(-p.duration)):
			before = results
			if m, err = startMeter(p.pid); err != nil {
				return nil, 0, err
			}
		case m != nil && run == nil && now.After(end):
			if run, err = m.run("message", results-before); err != nil {
				return nil, 0, err
			}
		}
	}
	if run == nil && m != nil { // the answer ended before a result came after the end
		run, err = m.run("message", results-before)
	}
	if run == nil && err == nil {
		err = errors.New("batch: the answer ended before it was measured")
	}
	return run, results, err
}
