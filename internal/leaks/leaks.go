// Package leaks fails the tests of a package that leave goroutines behind: one that nobody waits for shows there, whichever test
// began it.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines that are ending may take: half a second for a connection that net/http has ended with an answer,
// more on a busy machine. One that never ends is found all the same.
const patience = time.Minute

// Main is the TestMain of a package: it runs the tests and ends the process, with a failure if they have failed or a goroutine is
// left. What is to be let go of when they are over, each of before does.
func Main(m *testing.M, before ...func()) {
	code := m.Run()
	for _, f := range before {
		f()
	}
	if code == 0 {
		if err := Find(patience); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Find waits until no goroutine is left besides the caller's and those of the tests' own, for about as long as given, and returns
// an error with the stacks of those that are.
func Find(most time.Duration) error {
	for end := time.Now().Add(most); ; { // each look waits for some hundred milliseconds
		if err := goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
