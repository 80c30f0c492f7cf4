package demo_test

import (
	"testing"

	"go.uber.org/goleak"
)

// net/http keeps a connection that it has ended with an answer for half a second, longer than goleak waits.
var lingering = goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, lingering) }
