package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// publisher is how messages get into the server. One goroutine publishes; Close may be called while it does.
type publisher interface {
	Publish(payload []byte) error
	Close() error
}

// publisher returns the one these options ask for; nil if somebody else publishes.
func (o *Options) publisher(ctx context.Context) (publisher, error) {
	switch o.Feed.Publish {
	case PublishEmit:
		return newEmitting(ctx, o.Target, o.Feed.Topic)
	case PublishAPI:
		return newPosting(o), nil
	case PublishBatch:
		return newBatching(ctx, o)
	}
	return nil, nil
}

// emitting publishes as one more client.
type emitting struct {
	conn    *peer.Conn
	head    []byte // of the argument, up to the payload
	refused chan error
	done    chan struct{}
}

func newEmitting(ctx context.Context, t Target, topic string) (*emitting, error) {
	name, err := json.Marshal(topic)
	if err != nil {
		return nil, err
	}
	c, err := t.dial(ctx, peer.Options{})
	if err != nil {
		return nil, fmt.Errorf("connect the publisher: %w", err)
	}
	e := &emitting{
		conn: c, head: fmt.Appendf(nil, `{"topic":%s,"payload":`, name),
		refused: make(chan error, 1), done: make(chan struct{}),
	}
	go e.loop()
	return e, nil
}

// loop answers pings and looks out for refusals; it ends with the connection.
func (e *emitting) loop() {
	defer close(e.done)
	err := e.conn.Read(func(event string, args []byte) error {
		if event == "weir:error" || event == "error" {
			return fmt.Errorf("the server refuses to publish: %.300s; clients need leave to (clientPublish: allow), "+
				"or publish with --publish api", args)
		}
		return nil
	})
	if err == nil {
		err = io.EOF
	}
	e.refused <- fmt.Errorf("publisher: %w", err)
}

func (e *emitting) Publish(payload []byte) error {
	arg := make([]byte, 0, len(e.head)+len(payload)+1)
	arg = append(append(append(arg, e.head...), payload...), '}')
	err := e.conn.Emit("publish", arg)
	select {
	case refused := <-e.refused: // says more
		return refused
	default:
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Close ends the connection and the loop.
func (e *emitting) Close() error {
	err := e.conn.Close()
	<-e.done
	return err
}

// postTimeout bounds one publish over the management API.
const postTimeout = 30 * time.Second

// posting publishes by POST /api/publish, one after the other.
type posting struct {
	url, key string
	head     []byte
	client   http.Client
}

func newPosting(o *Options) *posting {
	p := &posting{
		url: strings.TrimSuffix(o.Server.Management, "/") + "/api/publish", key: o.Server.Key,
		client: http.Client{Timeout: postTimeout, Transport: &http.Transport{}},
	}
	namespace, topic := strconv.Quote(o.Target.Namespace), strconv.Quote(o.Feed.Topic)
	p.head = fmt.Appendf(nil, `{"namespace":%s,"topic":%s,"payload":`, namespace, topic)
	return p
}

func (p *posting) Publish(payload []byte) error {
	body := bytes.Join([][]byte{p.head, payload, []byte("}")}, nil)
	q, err := http.NewRequest(http.MethodPost, p.url, bytes.NewReader(body)) //nolint:noctx // bounded by the client
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	if p.key != "" {
		q.Header.Set("Authorization", "Bearer "+p.key)
	}
	a, err := p.client.Do(q)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	said, err := io.ReadAll(io.LimitReader(a.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("publish: read the answer: %w", err)
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("publish: %s answers %s: %.300s", p.url, a.Status, bytes.TrimSpace(said))
	}
	return nil
}

func (p *posting) Close() error {
	p.client.CloseIdleConnections()
	return nil
}
