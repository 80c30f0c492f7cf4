package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The most records, and bytes, of an answer of /api/history.
const (
	historyPage    = 1000
	maxHistoryPage = 64 << 20
)

func historyCommand() *cobra.Command {
	var api management
	var from uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "history NAMESPACE TOPIC",
		Short: "Print what a topic of a running server keeps, one JSON object a line",
		Long: `Print what a topic of a running server keeps (its history, or its journal), one JSON object a line, oldest first: the newest
records, or with --from those from that offset on. That some of it is gone is said on stderr.`,
		Example: `  weir history /feed prices
  weir history /feed prices --from 1 --limit 100000`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit %d: want 1 or more", limit)
			}
			query := url.Values{"namespace": {args[0]}, "topic": {args[1]}}
			if cmd.Flags().Changed("from") {
				query.Set("from", strconv.FormatUint(from, 10))
			} else if limit > historyPage {
				return usagef("--limit %d: the newest are %d at most; with --from there is no bound", limit, historyPage)
			}
			return history(cmd.Context(), &api, query, limit, streams{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "first offset (default: the newest records)")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many records at most")
	api.flags(cmd)
	return cmd
}

// historyAnswer is what /api/history answers.
type historyAnswer struct {
	Epoch             string
	First, Last, Next uint64
	Records           []json.RawMessage
	Lost              bool
}

// history prints pages until there is no more, or as many as are wanted.
func history(ctx context.Context, api *management, query url.Values, limit int, s streams) error {
	for lost := false; limit > 0; {
		query.Set("limit", strconv.Itoa(min(limit, historyPage)))
		p, err := askHistory(ctx, api, query)
		if err != nil {
			return err
		}
		if p.Lost && !lost {
			lost = true
			fmt.Fprintf(s.err, "weir: some of it is not kept any more: the oldest is %d\n", p.First)
		}
		for _, r := range p.Records {
			if _, err := s.out.Write(append(harmless(r), '\n')); err != nil {
				return fmt.Errorf("print a record: %w", err)
			}
		}
		limit -= len(p.Records)
		if p.Next > p.Last || query.Get("from") == "" {
			return nil
		}
		query.Set("from", strconv.FormatUint(p.Next, 10))
		query.Set("epoch", p.Epoch)
	}
	return nil
}

func askHistory(ctx context.Context, api *management, query url.Values) (p historyAnswer, err error) {
	a, err := api.call(ctx, "/api/history", query, nil)
	if err != nil {
		return p, err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	if err := speaks(a, "application/json"); err != nil {
		return p, err
	}
	if err := json.NewDecoder(io.LimitReader(a.Body, maxHistoryPage)).Decode(&p); err != nil {
		return p, fmt.Errorf("read the answer: %w", err)
	}
	return p, nil
}

// harmless writes the control characters that JSON allows in a text, and a terminal obeys, as escapes.
func harmless(line []byte) []byte {
	var b bytes.Buffer
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == '\n' || r == '\r' || r == '\t': // between tokens: JSON escapes them in a text
			b.WriteByte(' ')
		case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError && n == 1, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.Write(line[:n])
		}
		line = line[n:]
	}
	return b.Bytes()
}
