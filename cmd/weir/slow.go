package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/loadtest"
)

func slowCommand() *cobra.Command {
	w := loadtest.Watch{Target: loadtest.Target{Namespace: "/", Timeout: 10 * time.Second}, Clients: 50, ReceiveBuffer: 8 << 10}
	var stall bool
	var most time.Duration
	cmd := &cobra.Command{
		Use:   "slow URL --read 2KB/s",
		Short: "Slow clients of any Socket.IO server, and how old what they read is",
		Long: `Connect clients that read slowly, or not at all, to any Socket.IO server, and print once a second what they have read
and how old it was: the least, the median and the most of the clients. They come back after a cut as the official
client does.

Messages have an age if they are published by 'weir bench' on this machine ({"n":…,"t":…}), or if --age-field says
where in the payload the time is at which they were made.

A client that stalls does not see that it has been cut: it does not read.`,
		Example: `  weir slow http://127.0.0.1:3000 --namespace /feed --topic prices --read 2KB/s --clients 50
  weir slow https://staging.example.com --topic news --read 1KB/s --age-field /time --for 60s --i-own-this-target`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.Target.URL = args[0]
			if stall == (w.Read > 0) {
				return usagef("want --read BYTES/s, or --stall")
			}
			return slow(cmd, &w, most)
		},
	}
	settingFlags(cmd, w.Settings())
	cmd.Flags().BoolVar(&stall, "stall", false, "they subscribe and never read again")
	cmd.Flags().DurationVar(&most, "for", 0, "end after this `TIME`; 0: with Ctrl-C")
	cmd.Flags().SortFlags = false
	return cmd
}

// slow lets the clients read until a signal, or for so long.
func slow(cmd *cobra.Command, w *loadtest.Watch, most time.Duration) error {
	var wrong []string
	for _, p := range w.Problems() {
		wrong = append(wrong, p.Error())
	}
	if most < 0 {
		wrong = append(wrong, fmt.Sprintf("--for: %v is negative", most))
	}
	if len(wrong) > 0 {
		return usagef("%s", strings.Join(wrong, "\n"))
	}
	ctx, stop := untilSignal(cmd.Context(), slog.New(slog.DiscardHandler), func() {}, nil)
	defer stop()
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	err := w.Run(ctx, func(v loadtest.View) { fmt.Fprintln(cmd.OutOrStdout(), v) })
	if errors.Is(err, loadtest.ErrNotOwned) {
		return usagef("%v", err)
	}
	return err
}
