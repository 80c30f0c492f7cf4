package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// The ports of servers whose address has to be known before they listen. The kernel gives a socket that asks for any port one from
// 32768 (Linux) or 49152 (others) on: a port from there, found free and let go of, may be somebody's before its server starts.
const (
	lowestPort = 20_000
	ports      = 12_000
)

var (
	portsMu  sync.Mutex
	nextPort = rand.IntN(ports) // other processes test too
)

// freePort returns a port on which nobody listens and which nobody is given. No two calls return the same.
func freePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range ports {
		port := lowestPort + nextPort
		nextPort = (nextPort + 1) % ports
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("somebody listens on each of the ports %d to %d", lowestPort, lowestPort+ports-1)
}

// aFreePort is freePort for a test.
func aFreePort(t *testing.T) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
