package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// tlsFlags say how a management API that speaks TLS is called.
type tlsFlags struct{ ca, cert, certKey string }

func (f *tlsFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ca, "ca", "", "of https: the private CA that the server's certificate is of, in PEM in `FILE` (default: those of the system)")
	cmd.Flags().StringVar(&f.cert, "cert", "", "of https: this command's own certificate, for a server with clientCAFile, in PEM in `FILE`")
	cmd.Flags().StringVar(&f.certKey, "cert-key", "", "its private key, in PEM in `FILE`")
}

// client is who sends the requests.
func (f *tlsFlags) client(scheme string) (*http.Client, error) {
	if *f == (tlsFlags{}) {
		return http.DefaultClient, nil
	}
	if scheme != "https" {
		return nil, usagef("--ca, --cert and --cert-key are for https: want --url https://HOST:PORT")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: has no certificate in PEM", f.ca)
		}
	}
	switch {
	case (f.cert == "") != (f.certKey == ""):
		return nil, usagef("--cert and --cert-key: want both, or neither")
	case f.cert != "":
		pair, err := tls.LoadX509KeyPair(f.cert, f.certKey)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", f.cert, f.certKey, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	// As http.DefaultTransport, with TLS of its own; the process ends before its idle connections matter.
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c, ForceAttemptHTTP2: true}}, nil
}

// advise adds to what TLS says which flag helps.
func (f *tlsFlags) advise(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(x509.UnknownAuthorityError)) && f.ca == "":
		return fmt.Errorf("%w; --ca FILE names a private CA", err)
	case f.cert == "" && strings.Contains(err.Error(), "tls: certificate required"): // crypto/tls has no type for what the other side says
		return fmt.Errorf("%w; --cert and --cert-key say who calls", err)
	}
	return err
}
