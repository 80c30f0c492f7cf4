package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// How many strangers of each kind come for each 21 of plan.clients, 10,500 if that is not said otherwise.
const (
	lorisAll     = 21
	lorisHalf    = 10 // begin a request, or a handshake of TLS, and say no more
	lorisDrip    = 10 // send a byte of a request a second
	lorisHeaders = 1  // send headers of 1 MB
)

// loris is strangers who keep connections and never ask for anything. Whoever is cut comes again, after some ten seconds. It says that
// it is ready when all have come once, with p.to as the address, and goes on until the process is ended.
func loris(p plan) error {
	var came sync.WaitGroup
	herd := func(share int, dial func() (net.Conn, error), do func(net.Conn) error) {
		for range max(p.clients*share/lorisAll, 1) {
			came.Add(1)
			go again(dial, do, sync.OnceFunc(came.Done))
		}
	}
	herd(lorisHalf, p.dial, p.half)
	herd(lorisDrip, p.dialSecure, drip)
	herd(lorisHeaders, p.dialSecure, headers)
	came.Wait()
	fmt.Fprintf(os.Stderr, `{"msg":"listening","server":"bench","address":%q}`+"\n"+`{"msg":"ready"}`+"\n", p.to)
	select {}
}

// again connects, does what it is for, and stays until the server ends it; and then once more.
func again(dial func() (net.Conn, error), do func(net.Conn) error, came func()) {
	for {
		c, err := dial()
		came()
		if err == nil {
			if err = do(c); err == nil {
				_, _ = c.Read(make([]byte, 1<<10)) // until it is cut, or answered
			}
			_ = c.Close()
		}
		time.Sleep(lorisPause/2 + rand.N(lorisPause)) //nolint:gosec // no secret: they are not to come all at once
	}
}

// lorisPause is about what a stranger waits before it comes again.
const lorisPause = 10 * time.Second

func (p plan) dial() (net.Conn, error) { return net.DialTimeout("tcp4", p.to, time.Minute) }

// dialSecure is dial, and the handshake of TLS if there is one.
func (p plan) dialSecure() (net.Conn, error) {
	c, err := p.dial()
	if err != nil || !p.tls {
		return c, err
	}
	secure := tls.Client(c, insecure)
	if err := secure.Handshake(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return secure, nil
}

// half begins and says no more: half a request line, or over TLS the head of a record that never comes.
func (p plan) half(c net.Conn) error {
	begun := []byte("GET /socket.io/?EIO=4&trans")
	if p.tls {
		begun = []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}
	}
	_, err := c.Write(begun)
	return err
}

// drip sends a request, a byte a second.
func drip(c net.Conn) error {
	request := "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	for i := range len(request) {
		if _, err := c.Write([]byte(request[i : i+1])); err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	return nil
}

// headers sends a million bytes of them.
func headers(c net.Conn) error {
	if _, err := c.Write([]byte("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n")); err != nil {
		return err
	}
	line := make([]byte, 1000)
	for i := range line {
		line[i] = 'a'
	}
	for i := range 1000 {
		if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, line); err != nil {
			return err
		}
	}
	return nil
}
