package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, upon which a command leaves gently. The
// second ends the process at once, as failed. stop gives the signals back.
func untilSignal(ctx context.Context, log *slog.Logger) (gentle context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go watch(signals, done, cancel, log)
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// watch ends with done, or the process.
func watch(signals <-chan os.Signal, done <-chan struct{}, leave context.CancelFunc, log *slog.Logger) {
	for leaving := false; ; leaving = true {
		select {
		case s := <-signals:
			if leaving {
				log.Warn("leaving at once", "signal", s)
				os.Exit(exitFailed)
			}
			log.Info("leaving; a second signal ends the process at once", "signal", s)
			leave()
		case <-done:
			return
		}
	}
}
