package doctor

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// What bounds one attempt to reach the broker, and a look at it.
const (
	dialTimeout = 5 * time.Second
	lookTimeout = 10 * time.Second
)

// brokerPorts are the ports brokers listen on when a URL does not say one.
var brokerPorts = map[string]string{"redis": "6379", "rediss": "6379", "nats": "4222", "tls": "4222"}

// broker tries whether the broker can be reached: by TCP, without logging in. NATS is also asked whether a node could join.
func broker(ctx context.Context, n Needs) Finding {
	f := Finding{
		Name: "broker", Wanted: "reachable",
		Why: "Nodes hear each other through the broker. While it is unreachable, reliable publishes fail to their publisher.",
		Fix: "start it, and let this machine reach it; or correct cluster in the configuration",
	}
	if n.Broker.Name == "memory" {
		return f.at(OK, "memory: one node, nothing to reach")
	}
	if n.Broker.Embedded && len(n.Broker.URLs) == 0 {
		return f.at(OK, "nats in the process: one node, nothing to reach")
	}
	if len(n.Broker.URLs) == 0 {
		return f.unknown(fmt.Errorf("%s: the configuration names no address that doctor understands", n.Broker.Name))
	}
	var reached []string
	var away error
	for _, raw := range n.Broker.URLs {
		address, err := brokerAddress(raw)
		if err != nil {
			return f.unknown(err)
		}
		if err := reach(ctx, address); err != nil {
			away = err
			continue
		}
		reached = append(reached, address)
	}
	switch {
	case n.Broker.Embedded: // before the first start nobody is there, and this one is not either
		return f.at(OK, "nats in the process: %d of %d peers take connections now", len(reached), len(n.Broker.URLs))
	case len(reached) == 0:
		return f.at(Fail, "%s: %v", n.Broker.Name, away)
	case n.Broker.NATS != nil:
		f = f.nats(ctx, n)
	default:
		f = f.at(OK, "%s at %s takes connections", n.Broker.Name, strings.Join(reached, ", "))
	}
	if away != nil && f.Level == OK {
		f.Fix = "start the other server too, or correct cluster in the configuration"
		return f.at(Warn, "%s; but %v", f.Found, away)
	}
	return f
}

// nats asks NATS whether a node could join.
func (f Finding) nats(ctx context.Context, n Needs) Finding {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	f.Wanted = "nats-server 2.12 or later with JetStream, which this user may use"
	s, err := n.Broker.NATS.Look(ctx)
	if err != nil {
		f.Fix = "docs/guide/cluster.md says what NATS has to give: JetStream, and the subjects that the user needs"
		return f.at(Fail, "nats: %v", err)
	}
	stream := "the first node makes the stream"
	if s.Stream {
		stream = "the stream is there"
	}
	found := fmt.Sprintf("nats-server %s with JetStream; %s, of replicas: %d", s.Version, stream, s.Replicas)
	switch {
	case s.MaxPayload < int64(n.MaxMessage):
		f.Why = "A message that is larger than NATS takes goes in pieces, each of them a round trip or more of its own."
		f.Fix = fmt.Sprintf("max_payload: %d in the configuration of nats-server, or less for servers.*.socketio.maxHttpBufferSize", n.MaxMessage)
		return f.at(Warn, "%s; it takes %s in a message, clients may send %s", found, size(s.MaxPayload), size(int64(n.MaxMessage)))
	case s.Cluster != "" && s.Replicas < 3:
		f.Why = "What one server keeps is away with that server, and lost with its disk, though NATS is a cluster."
		f.Fix = "cluster.nats.replicas: 3"
		return f.at(Warn, "%s; the servers are a cluster (%s)", found, s.Cluster)
	}
	return f.at(OK, "%s", found)
}

// brokerAddress is host and port of a URL. Its errors do not show the URL, which may hold a password.
func brokerAddress(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("an address of the broker is not a URL with a host")
	}
	port := u.Port()
	if port == "" {
		port = brokerPorts[u.Scheme]
	}
	if port == "" {
		return "", fmt.Errorf("no port is known for %s://%s", u.Scheme, u.Hostname())
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func reach(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
