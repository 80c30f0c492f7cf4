package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// journal is where a server's lines go: those that need somebody's eyes to the log, as they are.
type journal struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
}

// worst is the last line that was an error.
func (j *journal) worst() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

func (j *journal) note(level slog.Level, format string, args []any) {
	line := fmt.Sprintf(format, args...)
	if level >= slog.LevelWarn {
		j.mu.Lock()
		j.last = line
		j.mu.Unlock()
	}
	j.log.LogAttrs(context.Background(), level, "embedded nats", slog.String("says", line))
}

// Noticef implements server.Logger.
func (j *journal) Noticef(format string, v ...any) { j.note(slog.LevelDebug, format, v) }

// Warnf implements server.Logger.
func (j *journal) Warnf(format string, v ...any) { j.note(slog.LevelInfo, format, v) }

// Errorf implements server.Logger.
func (j *journal) Errorf(format string, v ...any) { j.note(slog.LevelWarn, format, v) }

// Fatalf implements server.Logger. The process goes on: who has started the server sees that it does not serve.
func (j *journal) Fatalf(format string, v ...any) { j.note(slog.LevelError, format, v) }

// Debugf implements server.Logger.
func (j *journal) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (j *journal) Tracef(string, ...any) {}
