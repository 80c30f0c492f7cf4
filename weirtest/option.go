package weirtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// Stalled as the rate of [Slow] is a client that does not read at all.
const Stalled = 0

// slowBuffer is SO_RCVBUF in bytes of clients that are slow.
const slowBuffer = 4 << 10

// Option shapes one client.
type Option func(*options)

type options struct {
	auth    any
	header  http.Header
	conn    peer.Options
	timeout time.Duration
}

// Slow makes the client read at most so many bytes a second, those of the protocol included; Stalled, or less, means
// that it never reads. That begins when it is in its namespace, and does not hold for [Client.Ask] and [Client.Subscribe].
// Its receive buffer is small, so that the server feels it at once.
func Slow(bytesPerSecond int) Option {
	if bytesPerSecond <= Stalled {
		bytesPerSecond = peer.Stalled
	}
	return func(o *options) { o.conn.ReadRate, o.conn.ReceiveBuffer = bytesPerSecond, slowBuffer }
}

// Auth is what socket.io-client takes as its auth option: anything that is a JSON object.
func Auth(v any) Option { return func(o *options) { o.auth = v } }

// Header adds a header to the client's handshake. Every client has a User-Agent of its own unless told otherwise: Weir
// refuses a client that was cut for being slow by its address and User-Agent for a while, and nobody else should suffer.
func Header(name, value string) Option {
	return func(o *options) { o.header.Add(name, value) }
}

// Timeout bounds each wait of Next, Ask and Subscribe; the default is 30 s. It is there to end a test that fails, so be
// generous.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// dialled counts the clients of the process.
var dialled atomic.Uint64

func newOptions(opts []Option) *options {
	o := &options{header: http.Header{}, timeout: patience}
	for _, f := range opts {
		f(o)
	}
	if o.header.Get("User-Agent") == "" {
		o.header.Set("User-Agent", "weirtest/"+strconv.FormatUint(dialled.Add(1), 10))
	}
	return o
}

func (o *options) dial(ctx context.Context, url, namespace string) (*peer.Conn, error) {
	target, err := peer.ParseTarget(url, namespace)
	if err != nil {
		return nil, err
	}
	target.Header = o.header
	if o.auth != nil {
		if target.Auth, err = json.Marshal(o.auth); err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
	}
	o.conn.Timeout = patience
	return peer.Dial(ctx, target, o.conn)
}
