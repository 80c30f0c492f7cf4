package systemtest_test

import (
	"testing"

	"github.com/streamweir/weir"
)

// heldBack blocks a client's lanes: it fills the connection with messages of another
// topic until the kernel takes no more, has begun one, and two wait.
func heldBack(t *testing.T, srv *weir.Server, c *lean) {
	t.Helper()
	for n := 0; lane(client(t, srv, c.sid), "plug").Drops["overflow"] == 0; n++ {
		publish(t, srv, "plug", numbered(n, plugSize), weir.ToSocket(c.sid))
	}
}

const plugSize = 32 << 10

var plug = weir.TopicOptions{Name: "plug", Max: weir.Limits{Messages: 2, Bytes: 1 << 20}}
