package loadtest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/streamweir/weir/internal/peer"
)

// probe connects one client, lets it subscribe and leave: what is wrong with the target as a whole is told here, once
// and in full, before a thousand clients meet it.
func probe(ctx context.Context, t Target, topic string, o peer.Options) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	c, err := t.dial(ctx, o)
	if err != nil {
		return t.unreachable(err)
	}
	defer c.Close() //nolint:errcheck // it has served
	return subscribe(ctx, c, topic, t.Namespace)
}

// subscribe asks for a topic, "" for none, and returns why it was not given.
func subscribe(ctx context.Context, c *peer.Conn, topic, namespace string) error {
	if topic == "" {
		return nil
	}
	question, err := json.Marshal(struct {
		Topic string `json:"topic"`
	}{topic})
	if err != nil {
		return fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	answer, err := c.Ask(ctx, "subscribe", question)
	if err != nil {
		return fmt.Errorf("subscribe to %q in %s: %w; does the server answer the event subscribe? If not: --no-subscribe", topic, namespace, err)
	}
	return accepted(answer, topic, namespace)
}

// accepted reads the answer to a subscribe: an array with {"ok":true,…}, or with why not.
func accepted(answer json.RawMessage, topic, namespace string) error {
	var said []struct {
		OK           bool
		Code, Reason string
	}
	if json.Unmarshal(answer, &said) == nil && len(said) > 0 && said[0].OK {
		return nil
	}
	if len(said) > 0 && said[0].Code != "" {
		return fmt.Errorf("subscribe to %q in %s: refused: %s (%s)", topic, namespace, said[0].Reason, said[0].Code)
	}
	return fmt.Errorf("subscribe to %q in %s: refused: %.200s", topic, namespace, answer)
}
