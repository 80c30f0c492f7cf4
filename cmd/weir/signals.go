package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, upon which a command leaves gently. The
// second ends the process at once, as failed, when flush has written the log. At a SIGHUP it calls hangup; nil: SIGHUP
// ends the process, as it does commands that belong to a terminal. However many SIGHUPs come and however long hangup
// takes, the other signals are heard. stop gives the signals back.
func untilSignal(ctx context.Context, log *slog.Logger, flush, hangup func()) (gentle context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ends, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go watchEnds(ends, done, cancel, flush, log)
	if hangup != nil {
		signal.Notify(hangups, syscall.SIGHUP)
		go watchHangups(hangups, done, hangup)
	}
	return ctx, func() {
		signal.Stop(ends)
		signal.Stop(hangups)
		close(done)
		cancel()
	}
}

// watchEnds ends with done, or the process.
func watchEnds(ends <-chan os.Signal, done <-chan struct{}, leave context.CancelFunc, flush func(), log *slog.Logger) {
	for leaving := false; ; leaving = true {
		select {
		case s := <-ends:
			if leaving {
				log.Warn("leaving at once", "signal", signalName(s))
				flush()
				os.Exit(exitFailed)
			}
			log.Info("leaving; a second signal ends the process at once", "signal", signalName(s))
			leave()
		case <-done:
			return
		}
	}
}

// watchHangups ends with done.
func watchHangups(hangups <-chan os.Signal, done <-chan struct{}, hangup func()) {
	for {
		select {
		case <-hangups:
			hangup()
		case <-done:
			return
		}
	}
}

// outliveReaders keeps the process when whoever read its stdout or stderr has gone: a server goes on without its log,
// where a command that prints ends, as Go has it.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

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
