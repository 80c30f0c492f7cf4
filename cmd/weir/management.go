package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Where the commands that call a running server find it.
const (
	envURL     = "WEIR_URL"
	envKey     = "WEIR_KEY"
	defaultURL = "http://127.0.0.1:9393"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// management calls the management API of a server (protocol.md 5).
type management struct {
	url, key string
	tls      tlsFlags
}

func (m *management) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.url, "url", "", "management API of the server (default $"+envURL+", or "+defaultURL+")")
	cmd.Flags().StringVar(&m.key, "key", "", "its key (default $"+envKey+")")
	m.tls.flags(cmd)
}

// call sends a request; a nil body is a GET. An answer other than 200 is an error in the server's words.
func (m *management) call(ctx context.Context, path string, query url.Values, body any) (*http.Response, error) {
	r, err := m.request(ctx, path, query, body)
	if err != nil {
		return nil, err
	}
	client, err := m.tls.client(r.URL.Scheme)
	if err != nil {
		return nil, err
	}
	a, err := client.Do(r)
	if err != nil {
		return nil, m.tls.advise(err)
	}
	if a.StatusCode != http.StatusOK {
		defer a.Body.Close() //nolint:errcheck // read only
		return nil, refusal(a)
	}
	return a, nil
}

// speaks fails where an answer is not of the management API: somebody else listens there, whose 200 says nothing.
func speaks(a *http.Response, mediaType string) error {
	got, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || got != mediaType {
		return fmt.Errorf("%s %s: answered with %q, not as a management API does", a.Request.Method, a.Request.URL, a.Header.Get("Content-Type"))
	}
	return nil
}

func (m *management) request(ctx context.Context, path string, query url.Values, body any) (*http.Request, error) {
	base := cmp.Or(m.url, os.Getenv(envURL), defaultURL)
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("--url %q: want http://HOST:PORT", base)
	}
	u = u.JoinPath(path)
	u.RawQuery = query.Encode()
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		method, reader = http.MethodPost, bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key := cmp.Or(m.key, os.Getenv(envKey)); key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r, nil
}

// refusal is the error an answer tells.
func refusal(a *http.Response) error {
	var told struct {
		Error struct{ Code, Message string }
	}
	raw, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer %s: %w", a.Status, err)
	}
	if json.Unmarshal(raw, &told) == nil && told.Error.Code != "" {
		return fmt.Errorf("%s %s: %s (%s)", a.Request.Method, a.Request.URL.Path, told.Error.Message, told.Error.Code)
	}
	return fmt.Errorf("%s %s: %s: %s", a.Request.Method, a.Request.URL, a.Status, strings.TrimSpace(string(raw)))
}
