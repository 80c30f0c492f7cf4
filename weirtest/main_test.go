package weirtest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// trial is a test within a test: one that is meant to fail.
type trial struct {
	testing.TB

	mu       sync.Mutex
	said     []string
	cleanups []func()
}

// try runs f as a test and returns what it failed with.
func try(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	inner := &trial{TB: t}
	for _, step := range []func(){func() { f(inner) }, inner.cleanUp} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			step() // Fatalf ends the goroutine
		}()
		<-done
	}
	return strings.Join(inner.said, "\n")
}

func (r *trial) cleanUp() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

// Cleanup implements testing.TB.
func (r *trial) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// Helper implements testing.TB.
func (r *trial) Helper() {}

// Errorf implements testing.TB.
func (r *trial) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// Fatalf implements testing.TB.
func (r *trial) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
