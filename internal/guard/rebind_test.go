package guard_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

// request is one to a management port, headers as name, value, ….
func request(method, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/api/stats", nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestCheckLocal(t *testing.T) {
	const json = "application/json"
	for _, c := range []struct {
		name string
		r    *http.Request
		want error
	}{
		{"curl", request("GET", "127.0.0.1:9393"), nil},
		{"curl by name", request("GET", "LocalHost:9393"), nil},
		{"curl by IPv6", request("HEAD", "[::1]:9393"), nil},
		{"without a port", request("GET", "localhost"), nil},
		{"through a forwarded port", request("GET", "localhost:19393"), nil},
		{"curl that writes", request("POST", "localhost:9393", "Content-Type", json), nil},
		{"NDJSON", request("POST", "localhost:9393", "Content-Type", "application/x-ndjson; charset=utf-8"), nil},
		{"own page", request("GET", "localhost:9393", "Origin", "http://localhost:9393", "Sec-Fetch-Site", "same-origin"), nil},
		{"address bar", request("GET", "localhost:9393", "Sec-Fetch-Site", "none"), nil},

		{"rebound name", request("GET", "evil.com:9393"), guard.ErrForeignHost},
		{"rebound name, own origin", request("GET", "evil.com:9393", "Origin", "http://evil.com:9393", "Sec-Fetch-Site", "same-origin"), guard.ErrForeignHost},
		{"rebound name that begins well", request("GET", "localhost.evil.com:9393"), guard.ErrForeignHost},
		{"name below localhost", request("GET", "x.localhost:9393"), guard.ErrForeignHost},
		{"no host", request("GET", ""), guard.ErrForeignHost},
		{"port but no host", request("GET", ":9393"), guard.ErrForeignHost},
		{"another address", request("GET", "192.0.2.7:9393"), guard.ErrForeignHost},
		{"unbracketed IPv6", request("GET", "::1"), guard.ErrForeignHost},

		{"cross-site GET", request("GET", "localhost:9393", "Origin", "https://evil.com"), guard.ErrCrossSite},
		{"cross-site image", request("GET", "localhost:9393", "Sec-Fetch-Site", "cross-site"), guard.ErrCrossSite},
		{"another local page", request("GET", "localhost:9393", "Origin", "http://localhost:8080"), guard.ErrCrossSite},
		{"another local page, no origin", request("GET", "localhost:9393", "Sec-Fetch-Site", "same-site"), guard.ErrCrossSite},
		{"sandboxed page", request("GET", "localhost:9393", "Origin", "null"), guard.ErrCrossSite},
		{"empty origin", request("GET", "localhost:9393", "Origin", ""), guard.ErrCrossSite},
		{"broken origin", request("GET", "localhost:9393", "Origin", "\x00"), guard.ErrCrossSite},
		{"second origin", request("GET", "localhost:9393", "Origin", "http://localhost:9393", "Origin", "https://evil.com"), guard.ErrCrossSite},
		{"second fetch site", request("GET", "localhost:9393", "Sec-Fetch-Site", "none", "Sec-Fetch-Site", "cross-site"), guard.ErrCrossSite},
		{"preflight", request("OPTIONS", "localhost:9393", "Origin", "https://evil.com"), guard.ErrCrossSite},
		{"cross-site write", request("POST", "localhost:9393", "Origin", "https://evil.com", "Content-Type", json), guard.ErrCrossSite},

		{"form", request("POST", "localhost:9393", "Content-Type", "application/x-www-form-urlencoded"), guard.ErrNotJSON},
		{"text form", request("POST", "localhost:9393", "Content-Type", "text/plain"), guard.ErrNotJSON},
		{"no type", request("POST", "localhost:9393"), guard.ErrNotJSON},
		{"type in disguise", request("POST", "localhost:9393", "Content-Type", "text/plain; application/json"), guard.ErrNotJSON},
		{"delete", request("DELETE", "localhost:9393"), guard.ErrNotJSON},
	} {
		if err := guard.CheckLocal(c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCheckLocalKnowsTheAddressTheConnectionCameInOn(t *testing.T) {
	came := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 9393}
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(came))
	if err := guard.CheckLocal(request("GET", "127.0.0.2:9393").WithContext(ctx)); err != nil {
		t.Errorf("the listener's own address: %v", err)
	}
	if err := guard.CheckLocal(request("GET", "127.0.0.3:9393").WithContext(ctx)); !errors.Is(err, guard.ErrForeignHost) {
		t.Errorf("another address: %v, want %v", err, guard.ErrForeignHost)
	}
}
