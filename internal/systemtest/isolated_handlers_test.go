package systemtest_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// TestHandlersThatHangHoldUpNoRequest: where every worker is taken, what clients ask of Weir itself is done all the same.
func TestHandlersThatHangHoldUpNoRequest(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices", History: 10}, weir.TopicOptions{Name: "checked"})
	whatever, err := weir.ParseSchema([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	o.Namespaces[0].Schemas = []weir.SchemaOptions{{Name: "checked", Schema: whatever}}
	o.Namespaces[0].ClientPublish, o.Namespaces[0].ClientHistory = true, true
	o.Workers.Max = 1
	hung, release := make(chan struct{}), make(chan struct{})
	srv := start(t, o, func(srv *weir.Server) {
		srv.Namespace("/feed").On("hang", func(context.Context, *weir.Socket, *weir.Event) error {
			close(hung)
			<-release
			return nil
		})
	})
	held := dial(t, addr(srv), "/feed", nil, dialOptions{})
	held.emit("/feed", 1, "hang")
	<-hung
	computed := dial(t, addr(srv), "/feed", nil, dialOptions{})
	computed.emit("/feed", 1, "publish", map[string]any{"topic": "checked", "payload": 1})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, c := range []struct {
		event string
		arg   map[string]any
	}{
		{"subscribe", map[string]any{"topic": "prices", "snapshot": true}},
		{"publish", map[string]any{"topic": "prices", "payload": 1}},
		{"weir:history", map[string]any{"topic": "prices", "from": 1}},
		{"unsubscribe", map[string]any{"topic": "prices"}},
	} {
		got := p.asks("/feed", c.event, c.arg)
		if strings.Contains(got, `["prices",1]`) { // the delivery comes first
			got = p.next()
		}
		if !strings.Contains(got, `"ok":true`) {
			t.Errorf("%s is answered %.200s", c.event, got)
		}
	}
	if n := metric(t, srv, "weir_workers_queued"); n != 1 {
		t.Errorf("%v jobs wait for a worker, want that of the publish that has to be held to a schema", n)
	}
	close(release)
	if got := computed.next(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("what waited for the handler is answered %.200s", got)
	}
}

// TestHandlersThatComputeHoldUpNobody: many clients have events under way that compute for long, on workers that yield.
// Others are answered meanwhile, and what they publish is delivered: behind a few of those that compute, and not behind all.
func TestHandlersThatComputeHoldUpNobody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what threads do, and gives each its niceness")
	}
	const burners = 40
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Namespaces[0].ClientPublish = true
	o.Workers.Nice, o.Shards = 1, 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 + runtime.NumCPU() + 1))
	var burnt atomic.Int64
	srv := start(t, o, func(srv *weir.Server) {
		n := srv.Namespace("/feed")
		weir.Handle(n, "burn", func(context.Context, *weir.Socket, int) (bool, error) {
			for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
			}
			burnt.Add(1)
			return true, nil
		})
		weir.Handle(n, "echo", func(_ context.Context, _ *weir.Socket, i int) (int, error) { return i, nil })
	})
	var ending atomic.Bool
	t.Cleanup(func() { ending.Store(true) })
	for range burners {
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		go func() {
			for !ending.Load() {
				if p.write(`42/feed,1["burn",1]`) != nil {
					return
				}
				if _, err := p.receive(); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, "all have burnt, and are known", func() bool { return burnt.Load() > 3*burners })
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	const asked = 30
	before := burnt.Load()
	for i := range asked {
		if got := p.asks("/feed", "echo", i); !strings.HasPrefix(got, "43/feed,") {
			t.Fatalf("echo is answered %.100s", got)
		}
		p.emit("/feed", 1000+i, "publish", map[string]any{"topic": "prices", "payload": i})
		p.next() // the delivery and the answer, in any order
		p.next()
	}
	if n := burnt.Load() - before; n > asked*burners/4 {
		t.Errorf("%d events and %d publishes waited for %d that compute", asked, asked, n)
	}
}
