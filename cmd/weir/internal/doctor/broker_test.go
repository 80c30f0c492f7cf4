package doctor_test

import (
	"net"
	"strings"
	"testing"

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
		{"nats", []string{"nats://" + up, "nats://" + down}, verdict{doctor.Fail, "refused", "start it"}},
		{"redis", nil, verdict{doctor.Unknown, "names no address", ""}},
		{"redis", []string{"unix:///run/secret.sock"}, verdict{doctor.Unknown, "not a URL with a host", ""}},
		{"kafka", []string{"kafka://10.0.0.1"}, verdict{doctor.Unknown, "no port is known for kafka", ""}},
	} {
		n := needs(10)
		n.Broker = doctor.Broker{Name: c.name, URLs: c.urls}
		f := find(t, doctor.Examine(t.Context(), files{}.machine(), n, nil), "broker")
		c.check(t, f)
		if strings.Contains(f.Found, "secret") {
			t.Errorf("shows the password: %s", f.Found)
		}
	}
}
