package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// maxEvent bounds one line of an event stream, in bytes: a message of the largest size the API takes, in base64.
const maxEvent = 16 << 20

func tailCommand() *cobra.Command {
	var api management
	cmd := &cobra.Command{
		Use:   "tail NAMESPACE TOPIC",
		Short: "Print what is published to a topic of a running server, one JSON object a line",
		Long: `Print what is published to a topic of a running server, one JSON object a line, until a signal. It never holds the
server up: what it is too slow for is missed, and said on stderr.

TOPIC may be a pattern, in quotes: all topics that begin so. It has to be a declared one ('trades.*' where trades.* is
declared) or to lie within one ('trades.A*'); another one is refused. A TOPIC of '' is all of the namespace.`,
		Example: `  weir tail /feed prices
  weir tail /feed 'trades.*'
  weir tail /feed ''`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context(), slog.New(slog.DiscardHandler), func() {}, nil)
			defer stop()
			query := url.Values{"namespace": {args[0]}, "topic": {args[1]}}
			return tail(ctx, &api, query, streams{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
		},
	}
	api.flags(cmd)
	return cmd
}

// tail prints until ctx ends, which is good, or the server ends the stream, which is not.
func tail(ctx context.Context, api *management, query url.Values, s streams) error {
	a, err := api.call(ctx, "/api/tail", query, nil)
	if err == nil {
		defer a.Body.Close() //nolint:errcheck // read only
		if err = speaks(a, "text/event-stream"); err == nil {
			err = printEvents(a.Body, s)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

var errStreamEnded = errors.New("the server has ended the stream")

// printEvents reads server-sent events: an "event:" line names the "data:" line that follows.
func printEvents(r io.Reader, s streams) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	event := "message"
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			event = value
		case field == "data" && event == "message":
			if _, err := fmt.Fprintln(s.out, value); err != nil {
				return fmt.Errorf("print a message: %w", err)
			}
		case field == "data":
			fmt.Fprintf(s.err, "weir: %s %s\n", event, value)
		case lines.Text() == "":
			event = "message"
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	return errStreamEnded
}
