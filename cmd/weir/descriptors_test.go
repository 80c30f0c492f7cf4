package main

import (
	"strings"
	"testing"
)

func TestMoreConnectionsThanDescriptorsAreRefused(t *testing.T) {
	limits := descriptorLimits{Soft: 1024, Hard: 20000}
	for connections, fits := range map[int]bool{0: true, 1: true, 19936: true, 19937: false, 50000: false} {
		err := limits.admits(connections, 0)
		if (err == nil) != fits {
			t.Errorf("%d connections with %d descriptors: %v", connections, limits.Hard, err)
		}
	}
	err := limits.admits(50000, 0)
	for _, part := range []string{"limits.maxConnections", "50000 connections", "50064", "20000", "LimitNOFILE=50064", "lower limits.maxConnections to 19936"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %q", err, part)
		}
	}
	if err := limits.admits(19900, 3*32); err == nil || !strings.Contains(err.Error(), "lower limits.maxConnections to 19840") {
		t.Errorf("what 32 loops hold is not reckoned: %v", err)
	}
	if err := (descriptorLimits{}).admits(50000, 0); err != nil {
		t.Errorf("limits that are not known refuse: %v", err)
	}
	if err := (descriptorLimits{Soft: 10, Hard: 10}).admits(1, 0); err == nil || !strings.Contains(err.Error(), "to 0") {
		t.Errorf("less descriptors than the reserve: %v", err)
	}
}
