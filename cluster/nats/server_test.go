package nats_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/internal/enginetest"
)

// spawn starts a nats-server process with more lines in its configuration.
func spawn(t testing.TB, name, more string) *enginetest.Process {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "nats.conf")
	return enginetest.Start(t, enginetest.Options{
		Program: "nats-server", Dir: dir, Serves: serves,
		Args: func(port string) []string {
			text := fmt.Sprintf("listen: 127.0.0.1:%s\nserver_name: %s\njetstream {store_dir: %q, sync_interval: always}\n%s\n", port, name, dir, more)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"-c", file}
		},
	})
}

// serves reports whether a client can connect.
func serves(addr string) bool {
	c, err := client.Connect("nats://"+addr, client.Timeout(time.Second))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// do has an operator's client do something at a server.
func do(t testing.TB, url string, what func(ctx context.Context, js jetstream.JetStream) error) {
	t.Helper()
	c, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := what(t.Context(), js); err != nil {
		t.Fatal(err)
	}
}

// forget deletes the stream.
func forget(t testing.TB, url string) {
	t.Helper()
	do(t, url, func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "weir") })
}

// publish has an operator's client publish something.
func publish(t testing.TB, url string, msg *client.Msg) {
	t.Helper()
	c, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.PublishMsg(msg); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}
