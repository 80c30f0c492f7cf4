// Package certs reads certificates and their keys from PEM files, again when they have changed. A pair that cannot be
// used never takes the place of one that can.
package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Files say where a certificate is.
type Files struct {
	Chain     string // the certificate first, then those that lead to the root
	Key       string // PKCS #1, PKCS #8 or SEC 1
	Password  string // of an encrypted PKCS #8 key; "": the key is not encrypted
	ClientCAs string // those who may sign clients' certificates; "": clients need none
}

// Paths are the files that are there.
func (f Files) Paths() []string {
	paths := []string{f.Chain, f.Key}
	if f.ClientCAs != "" {
		paths = append(paths, f.ClientCAs)
	}
	return paths
}

// Pair is a certificate with its key. Immutable.
type Pair struct {
	Certificate *tls.Certificate
	ClientCAs   *x509.CertPool // nil: clients need no certificate
	NotBefore   time.Time
	NotAfter    time.Time // the first end of the chain's certificates
	Names       []string  // the host names and addresses it is for

	digest [sha256.Size]byte // of the files
}

// maxFile bounds what is read of one file: a chain has some kilobytes.
const maxFile = 1 << 20

// Load reads a pair. Its error names the file, and never holds what stands in it.
func (f Files) Load() (*Pair, error) {
	p, contents, err := f.read()
	if err != nil {
		return nil, err
	}
	return f.parse(p, contents)
}

// read reads the files without making sense of them.
func (f Files) read() (*Pair, [][]byte, error) {
	var contents [][]byte
	sum := sha256.New()
	for _, path := range f.Paths() {
		b, err := readFile(path)
		if err != nil {
			return nil, nil, err
		}
		one := sha256.Sum256(b)
		_, _ = sum.Write(one[:]) // a hash takes everything
		contents = append(contents, b)
	}
	p := &Pair{}
	sum.Sum(p.digest[:0])
	return p, contents, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read %s: longer than 1 MiB, so no certificate or key", path)
	}
	return b, nil
}

func (f Files) parse(p *Pair, contents [][]byte) (*Pair, error) {
	key, err := decrypt(contents[1], f.Password)
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", f.Key, err)
	}
	cert, err := tls.X509KeyPair(contents[0], key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with private key %s: %s", f.Chain, f.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if err := p.describe(&cert); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.Chain, err)
	}
	if f.ClientCAs != "" {
		p.ClientCAs = x509.NewCertPool()
		if !p.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, fmt.Errorf("client CAs %s: no certificate in it, want PEM", f.ClientCAs)
		}
	}
	return p, nil
}

func (p *Pair) describe(cert *tls.Certificate) error {
	p.Certificate = cert
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if i == 0 || c.NotAfter.Before(p.NotAfter) {
			p.NotAfter = c.NotAfter
		}
		if i > 0 {
			continue
		}
		p.NotBefore, p.Names = c.NotBefore, c.DNSNames
		for _, ip := range c.IPAddresses {
			p.Names = append(p.Names, ip.String())
		}
	}
	return nil
}

// Same reports whether both were read from files of the same content.
func (p *Pair) Same(other *Pair) bool { return p.digest == other.digest }

var errEncrypted = errors.New("is encrypted: want its password (privateKeyPassword)")

// decrypt returns a key in PEM that is not encrypted.
func decrypt(key []byte, password string) ([]byte, error) {
	for rest := key; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY" && password == "":
			return nil, errEncrypted
		case b.Type == "ENCRYPTED PRIVATE KEY":
			der, err := decryptPKCS8(b.Bytes, []byte(password))
			if err != nil {
				return nil, err
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
		case strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, errors.New("is encrypted in OpenSSL's old form (Proc-Type), which is not supported: " +
				"'openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW' makes PKCS #8 of it")
		}
	}
	if bytes.Contains(key, []byte("-----BEGIN")) && password != "" {
		return nil, errors.New("is not encrypted, yet a password is given: remove one of them")
	}
	return key, nil
}
