package main

import (
	"io"
	"log/slog"
	"os"
)

// newLogger logs to w without ever waiting for it: format is "text", "json", or "auto" for text on a terminal and JSON
// elsewhere. flush waits for the lines so far, for a second at most; it is to be called at the end.
func newLogger(w io.Writer, level slog.Leveler, format string) (log *slog.Logger, flush func()) {
	o := &slog.HandlerOptions{Level: level}
	if format == "text" || (format != "json" && isTerminal(w)) {
		lw := newLogWriter(w, lostText)
		return slog.New(slog.NewTextHandler(lw, o)), lw.Flush
	}
	lw := newLogWriter(w, lostJSON)
	return slog.New(slog.NewJSONHandler(lw, o)), lw.Flush
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
