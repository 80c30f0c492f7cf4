package doctor

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// dialTimeout bounds one attempt to reach the broker.
const dialTimeout = 5 * time.Second

// brokerPorts are the ports brokers listen on when a URL does not say one.
var brokerPorts = map[string]string{"redis": "6379", "rediss": "6379", "nats": "4222", "tls": "4222"}

// broker tries whether the broker can be reached: by TCP only, without logging in.
func broker(ctx context.Context, n Needs) Finding {
	f := Finding{
		Name: "broker", Wanted: "reachable",
		Why: "Nodes hear each other through the broker. While it is unreachable, reliable publishes fail to their publisher.",
		Fix: "start it, and let this machine reach it; or correct cluster in the configuration",
	}
	if n.Broker.Name == "memory" {
		return f.at(OK, "memory: one node, nothing to reach")
	}
	if len(n.Broker.URLs) == 0 {
		return f.unknown(fmt.Errorf("%s: the configuration names no address that doctor understands", n.Broker.Name))
	}
	var reached []string
	for _, raw := range n.Broker.URLs {
		address, err := brokerAddress(raw)
		if err != nil {
			return f.unknown(err)
		}
		if err := reach(ctx, address); err != nil {
			return f.at(Fail, "%s: %v", n.Broker.Name, err)
		}
		reached = append(reached, address)
	}
	return f.at(OK, "%s at %s takes connections", n.Broker.Name, strings.Join(reached, ", "))
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
