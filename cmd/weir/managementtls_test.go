package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// placePair writes NAME.pem and NAME.key: a certificate of ca's, or a CA of its own where ca is nil.
func placePair(t *testing.T, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca == nil, BasicConstraintsValid: true,
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, key
}

// TestCommandsCallOverTLS: a server with a private CA that wants its callers' certificates is called with --ca, --cert
// and --cert-key, and what is missing is said with the flag that helps.
func TestCommandsCallOverTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := placePair(t, dir, "ca", nil, nil)
	placePair(t, dir, "server", ca, caKey)
	placePair(t, dir, "ops", ca, caKey)
	placePair(t, dir, "stranger", nil, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	port, probes := strconv.Itoa(aFreePort(t)), strconv.Itoa(aFreePort(t))
	serveUntilReady(t, fmt.Sprintf(`
weir: 1
management: {probes: {host: 127.0.0.1, port: %s}, tls: {certChainPemPath: %q, privateKeyPemPath: %q, clientCAFile: %q}}
servers: {feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, topics: [{name: prices, history: 5}]}]}}
`, probes, at("server.pem"), at("server.key"), at("ca.pem")), port, "http://127.0.0.1:"+probes)
	url := "https://127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all := []string{"--ca", at("ca.pem"), "--cert", at("ops.pem"), "--cert-key", at("ops.key")}
	for _, c := range []struct {
		name  string
		flags []string
		code  int
		says  string
	}{
		{"all", all, exitGood, `"messageId"`},
		{"no CA", nil, exitFailed, "--ca FILE names a private CA"},
		{"another CA", []string{"--ca", at("stranger.pem")}, exitFailed, "unknown authority"},
		{"no certificate", all[:2], exitFailed, "--cert and --cert-key say who calls"},
		{"a stranger's certificate", []string{"--ca", at("ca.pem"), "--cert", at("stranger.pem"), "--cert-key", at("stranger.key")}, exitFailed, "tls: "},
		{"no key", all[:4], exitUsage, "--cert and --cert-key: want both, or neither"},
		{"another's key", []string{"--cert", at("ops.pem"), "--cert-key", at("server.key")}, exitFailed, "private key does not match"},
		{"no such file", []string{"--ca", at("nothing.pem")}, exitFailed, "nothing.pem"},
		{"a CA that is a key", []string{"--ca", at("ca.key")}, exitFailed, "has no certificate in PEM"},
	} {
		var out bytes.Buffer
		code := run(ctx, append([]string{"publish", "/feed", "prices", "1", "--url", url}, c.flags...), streams{out: &out, err: &out})
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, code, &out, c.code, c.says)
		}
	}
	var out bytes.Buffer
	if code := run(ctx, append([]string{"history", "/feed", "prices", "--url", url}, all...), streams{out: &out, err: &out}); code != exitGood || !strings.Contains(out.String(), `"offset":1`) {
		t.Errorf("history: %d %s", code, &out)
	}
	out.Reset()
	if code := run(ctx, append([]string{"publish", "/feed", "prices", "1", "--url", "http://127.0.0.1:1"}, all...), streams{out: &out, err: &out}); code != exitUsage || !strings.Contains(out.String(), "are for https") {
		t.Errorf("with http: %d %s", code, &out)
	}
}
