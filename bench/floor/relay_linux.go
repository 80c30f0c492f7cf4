package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
)

// relay gives clients without TLS a server that has nothing else: it listens in the clear and speaks TLS with p.to, a
// handshake for each connection, none resumed. So the load is the same one as without TLS; what TLS costs on the clients' side is the
// relay's, on the load's core. It says where it listens as a server does, and serves until the process is ended.
func relay(p plan) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	sayReady(listener.Addr())
	for {
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		go carry(client, p.to)
	}
}

func carry(client net.Conn, to string) {
	defer client.Close() //nolint:errcheck // it was carried, or the server refused it
	server, err := tls.Dial("tcp4", to, insecure)
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return
	}
	defer server.Close() //nolint:errcheck // the same
	go func() {
		copyBetween(server, client)
		_ = server.CloseWrite() // a server that is gone has nothing to hear
	}()
	copyBetween(client, server)
}

// copyBetween copies with a buffer of its own, of which a relay has two for each client.
func copyBetween(to io.Writer, from io.Reader) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 4<<10)) // either may go at any time
}

// insecure takes any certificate: the server's is made for the trial.
var insecure = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // loopback

// sayReady tells who started this program where it listens, and that it does.
func sayReady(at net.Addr) {
	fmt.Fprintf(os.Stderr, `{"msg":"listening","server":"bench","address":%q}`+"\n"+`{"msg":"ready"}`+"\n", at.String())
}
