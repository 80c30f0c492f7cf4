package report

import (
	"io"
	"os"
	"time"
)

// Progress shows how a run is going, on one line. On a terminal the line is written over by the next; elsewhere, a
// log say, there is one line every progressEvery at most. It is for one goroutine, and a failed write is nobody's
// concern: the result is elsewhere.
type Progress struct {
	w        io.Writer
	terminal bool

	pending string // elsewhere: the newest line that was not due yet
	written time.Time
	shown   bool // on a terminal: there is a line to wipe
}

const (
	progressEvery   = 5 * time.Second
	progressColumns = 79         // of a terminal: a line that wraps cannot be written over
	wipe            = "\r\x1b[K" // back to the first column, and erase to the end of the line (ECMA-48 EL)
)

// NewProgress shows progress on w, usually stderr.
func NewProgress(w io.Writer) *Progress {
	return &Progress{w: w, terminal: isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Show replaces the line by this one. It may be called as often as is convenient.
func (p *Progress) Show(line string) {
	line = clean(line)
	if p.terminal {
		p.shown = true
		_, _ = io.WriteString(p.w, wipe+cut(line, progressColumns))
		return
	}
	p.pending = line
	if now := time.Now(); p.written.IsZero() || now.Sub(p.written) >= progressEvery {
		p.written = now
		p.flush()
	}
}

func (p *Progress) flush() {
	if p.pending != "" {
		_, _ = io.WriteString(p.w, p.pending+"\n")
		p.pending = ""
	}
}

// Done ends the progress: the line on a terminal is wiped, the last line elsewhere is written. Show may begin another.
func (p *Progress) Done() {
	if p.terminal && p.shown {
		p.shown = false
		_, _ = io.WriteString(p.w, wipe)
	}
	p.flush()
}
