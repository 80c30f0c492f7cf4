package doctor_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

func TestBrokerMustTakeConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was accepted
	up, down := l.Addr().String(), closedAddress(t)
	for _, c := range []struct {
		name string
		urls []string
		verdict
	}{
		{"memory", nil, verdict{doctor.OK, "memory: one node", ""}},
		{"redis", []string{"redis://:secret@" + up + "/0"}, verdict{doctor.OK, "redis at " + up, ""}},
		{"nats", []string{"nats://" + up, "nats://" + down}, verdict{doctor.Warn, "refused", "start the other"}},
		{"nats", []string{"nats://" + down}, verdict{doctor.Fail, "refused", "start it"}},
		{"redis", nil, verdict{doctor.Unknown, "names no address", ""}},
		{"redis", []string{"unix:///run/secret.sock"}, verdict{doctor.Unknown, "not a URL with a host", ""}},
		{"kafka", []string{"kafka://10.0.0.1"}, verdict{doctor.Unknown, "no port is known for kafka", ""}},
	} {
		n := needs(10)
		n.Broker = doctor.Broker{Name: c.name, URLs: c.urls}
		f := find(t, doctor.Examine(t.Context(), files{}.machine(), n, nil), "broker")
		c.check(t, f)
		n.Broker.Embedded = true
		if f := find(t, doctor.Examine(t.Context(), files{}.machine(), n, nil), "broker"); c.name == "nats" && !strings.Contains(f.Found, "peers take connections now") {
			t.Errorf("embedded: %+v", f)
		}
		if strings.Contains(f.Found, "secret") {
			t.Errorf("shows the password: %s", f.Found)
		}
	}
}

// look is what a NATS answers.
type look struct {
	found nats.Found
	err   error
}

func (l look) Look(context.Context) (nats.Found, error) { return l.found, l.err }

func TestNATSMustBeGoodForNodes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was accepted
	for _, c := range []struct {
		look
		verdict
	}{
		{look{err: errors.New("no JetStream")}, verdict{doctor.Fail, "no JetStream", "cluster.md"}},
		{look{found: nats.Found{Version: "2.12.1", MaxPayload: 1 << 20, Replicas: 1}}, verdict{doctor.OK, "2.12.1 with JetStream; the first node makes", ""}},
		{look{found: nats.Found{MaxPayload: 1 << 16, Stream: true, Replicas: 1}}, verdict{doctor.Warn, "it takes 64 KiB in a message, clients may send 977 KiB", "max_payload: 1000000"}},
		{look{found: nats.Found{MaxPayload: 1 << 20, Cluster: "c", Stream: true, Replicas: 1}}, verdict{doctor.Warn, "replicas: 1; the servers are a cluster (c)", "replicas: 3"}},
		{look{found: nats.Found{MaxPayload: 1 << 20, Cluster: "c", Stream: true, Replicas: 3}}, verdict{doctor.OK, "the stream is there, of replicas: 3", ""}},
	} {
		n := needs(10)
		n.MaxMessage, n.Broker = 1_000_000, doctor.Broker{Name: "nats", URLs: []string{"nats://" + l.Addr().String()}, NATS: c.look}
		c.check(t, find(t, doctor.Examine(t.Context(), files{}.machine(), n, nil), "broker"))
	}
}
