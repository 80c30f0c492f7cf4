package loadtest_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/internal/loadtest"
)

// net/http keeps a connection that it has ended with an answer for half a second, longer than goleak waits.
var lingering = goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")

// TestMain is also the agents of fleets: they are this program, started once more.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], loadtest.AgentCommand) {
		if err := loadtest.RunAgent(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, lingering, goleak.Cleanup(func(code int) { http.DefaultClient.CloseIdleConnections(); os.Exit(code) }))
}
