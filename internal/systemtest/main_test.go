package systemtest_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// net/http keeps a connection that it has ended with an answer for half a second, longer than goleak waits.
var lingering = goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")

// module is its root, where these tests run: they read the documents, and build programs.
const module = "../.."

// TestMain fails the package if any test leaves a goroutine behind.
func TestMain(m *testing.M) {
	if err := os.Chdir(module); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(lingering); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
