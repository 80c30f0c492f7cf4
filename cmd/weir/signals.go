package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, upon which a command leaves gently. The
// second ends the process at once, as failed. At a SIGHUP it calls hangup; nil: SIGHUP ends the process, as it does
// commands that belong to a terminal. stop gives the signals back.
func untilSignal(ctx context.Context, log *slog.Logger, hangup func()) (gentle context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if hangup != nil {
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go watch(signals, done, cancel, hangup, log)
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// watch ends with done, or the process.
func watch(signals <-chan os.Signal, done <-chan struct{}, leave context.CancelFunc, hangup func(), log *slog.Logger) {
	for leaving := false; ; {
		select {
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				hangup()
			case leaving:
				log.Warn("leaving at once", "signal", signalName(s))
				os.Exit(exitFailed)
			default:
				log.Info("leaving; a second signal ends the process at once", "signal", signalName(s))
				leaving = true
				leave()
			}
		case <-done:
			return
		}
	}
}

// signalName is how manuals call the signals this command knows.
func signalName(s os.Signal) string {
	switch s {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return s.String()
}
