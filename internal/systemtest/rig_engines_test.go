package systemtest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/enginetest"
	"github.com/streamweir/weir/internal/redistest"
)

// engines are the kinds: each test of what nodes do together has one of its own.
var engines = []string{"memory", "redis", "nats"}

// onEachEngine runs a test for each kind of broker.
func onEachEngine(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Helper()
	betweenNodes(t)
	for _, kind := range engines {
		t.Run(kind, func(t *testing.T) { test(t, startEngine(t, kind)) })
	}
}

// engine is what joins the nodes of a test: one kind of broker, and where it is.
type engine struct {
	t          *testing.T
	kind, addr string
	memory     *cluster.Memory
}

func startEngine(t *testing.T, kind string) *engine {
	t.Helper()
	e := &engine{t: t, kind: kind}
	switch kind {
	case "memory":
		e.memory = cluster.NewMemory()
	case "redis":
		e.addr = redistest.Start(t).Addr()
	case "nats":
		e.addr = startNATS(t)
	}
	return e
}

// brokerAt is a broker for one node, at an address that leads to the engine.
func brokerAt(kind, addr string) (cluster.Broker, error) {
	if kind == "nats" {
		return nats.New(nats.Options{URL: "nats://" + addr})
	}
	return redis.New(redis.Options{URL: "redis://" + addr})
}

// node starts a node with a name.
func (e *engine) node(name string, change ...func(*weir.Options)) *weir.Server {
	e.t.Helper()
	return e.nodeAt(e.addr, name, change...)
}

// nodeAt starts one that reaches the engine at another address.
func (e *engine) nodeAt(addr, name string, change ...func(*weir.Options)) *weir.Server {
	e.t.Helper()
	var b cluster.Broker = e.memory
	if e.memory == nil {
		var err error
		if b, err = brokerAt(e.kind, addr); err != nil {
			e.t.Fatal(err)
		}
	}
	o := namedNode(b, name)
	for _, f := range change {
		f(&o)
	}
	return start(e.t, o)
}

// namedNode are the options of a node with a name.
func namedNode(b cluster.Broker, name string) weir.Options {
	o := clustered(b)
	o.Cluster.Node = name
	o.Management.ReceiptTimeout = 5 * time.Second // how long other nodes are waited for
	return o
}

// startNATS starts a nats-server, which ends with the test, and returns its address.
func startNATS(t *testing.T) string {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "nats.conf")
	return enginetest.Start(t, enginetest.Options{
		Program: "nats-server", Dir: dir, Serves: natsServes,
		Args: func(port string) []string {
			text := fmt.Sprintf("listen: 127.0.0.1:%s\njetstream {store_dir: %q}\n", port, dir)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"-c", file}
		},
	}).Addr()
}

// natsServes reports whether a server says who it is, with JetStream.
func natsServes(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "INFO ") && strings.Contains(line, `"jetstream":true`)
}
