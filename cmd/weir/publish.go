package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// publication is the body of POST /api/publish.
type publication struct {
	Namespace string          `json:"namespace"`
	Topic     string          `json:"topic"`
	Payload   json.RawMessage `json:"payload"`
	ID        string          `json:"id,omitempty"`
	TTLMs     int64           `json:"ttlMs,omitempty"`
	Receipt   bool            `json:"receipt,omitempty"`
}

func publishCommand() *cobra.Command {
	var api management
	var p publication
	var file string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "publish NAMESPACE TOPIC [JSON]",
		Short: "Publish one message to a running server",
		Long: `Publish one message to a running server by its management API, and print the answer. The payload is the argument, or
comes from a file or stdin: '-' stands for stdin.`,
		Example: `  weir publish /feed prices '{"symbol":"AAPL","price":227.4}'
  echo '"hello"' | weir publish /feed hello -
  weir publish /feed orders --payload-file order.json --receipt`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			payload, err := payloadOf(args[2:], file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if ttl < 0 || ttl%time.Millisecond != 0 {
				return usagef("--ttl %v: want whole milliseconds, not negative", ttl)
			}
			if cmd.Flags().Changed("id") && p.ID == "" {
				return usagef("--id '': that would be none")
			}
			p.Namespace, p.Topic, p.Payload, p.TTLMs = args[0], args[1], payload, ttl.Milliseconds()
			return publish(cmd, &api, p)
		},
	}
	api.flags(cmd)
	cmd.Flags().StringVar(&p.ID, "id", "", "the message's `ID`: publishing it again does nothing")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how old it may be when it is written, such as 2s; 0: any age")
	cmd.Flags().BoolVar(&p.Receipt, "receipt", false, "wait for what it met at the subscribers' lanes")
	cmd.Flags().StringVar(&file, "payload-file", "", "read the payload from `FILE`")
	return cmd
}

// payloadOf finds the payload and refuses what is not JSON.
func payloadOf(arg []string, file string, stdin io.Reader) (payload json.RawMessage, err error) {
	switch {
	case (len(arg) == 1) == (file != ""):
		return nil, usagef("want the payload as JSON, or --payload-file")
	case file == "-" || (file == "" && arg[0] == "-"):
		payload, err = io.ReadAll(stdin)
	case file != "":
		payload, err = os.ReadFile(file)
	default:
		payload = json.RawMessage(arg[0])
	}
	if err != nil {
		return nil, fmt.Errorf("read the payload: %w", err)
	}
	if !json.Valid(payload) {
		return nil, usagef("the payload is not JSON: %.100q; text is written with quotes: '\"text\"'", payload)
	}
	return payload, nil
}

func publish(cmd *cobra.Command, api *management, p publication) error {
	a, err := api.call(cmd.Context(), "/api/publish", nil, p)
	if err != nil {
		return err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	if err := speaks(a, "application/json"); err != nil {
		return err
	}
	_, err = io.Copy(cmd.OutOrStdout(), io.LimitReader(a.Body, maxAnswer))
	return err
}
