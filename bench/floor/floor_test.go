//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain is also the clients of accept: they are this program, started once more.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientRole {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestFloorsFinishAndHaveACost(t *testing.T) {
	p := plan{clients: 300, rate: 50, size: 132, duration: 100 * time.Millisecond, otherCPU: 1}
	for name, measure := range floors {
		r, err := measure(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Figures[0].Value <= 0 || r.Figures[0].Unit != "us" {
			t.Errorf("%s: %+v", name, r.Figures)
		}
	}
}
