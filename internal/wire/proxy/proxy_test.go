package proxy_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/proxy"
)

const sign = "\r\n\r\n\x00\r\nQUIT\n"

// v4 and v6 are the addresses of a header of version 2: from 192.0.2.1:50000 and 2001:db8::1:50000.
const (
	v4 = "\xC0\x00\x02\x01\x0A\x00\x00\x01\xC3\x50\x01\xBB"
	v6 = "\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xC3\x50\x01\xBB"
)

// headers are such, and what they say; "" is nobody.
var headers = []struct {
	name, bytes string
	source      string
	err         error
}{
	{"v1 IPv4", "PROXY TCP4 192.0.2.1 10.0.0.1 50000 443\r\n", "192.0.2.1:50000", nil},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n", "[2001:db8::1]:50000", nil},
	{"v1 IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", nil},
	{"v1 unknown", "PROXY UNKNOWN\r\n", "", nil},
	{"v1 unknown, the longest", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", nil},
	{"v1 incomplete", "PROXY TCP4 192.0.2.1 10.0.0.1 50000 443\r", "", proxy.ErrShort},
	{"nothing yet", "", "", proxy.ErrShort},
	{"v1 without an end", "PROXY TCP4 " + strings.Repeat("1", 107), "", proxy.ErrBadHeader},
	{"v1 of a name", "PROXY TCP4 localhost 10.0.0.1 50000 443\r\n", "", proxy.ErrBadHeader},
	{"v1 of the other family", "PROXY TCP4 2001:db8::1 2001:db8::2 50000 443\r\n", "", proxy.ErrBadHeader},
	{"v1 with a zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "", proxy.ErrBadHeader},
	{"v1 with two spaces", "PROXY TCP4  192.0.2.1 10.0.0.1 50000 443\r\n", "", proxy.ErrBadHeader},
	{"v1 with a port too large", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", "", proxy.ErrBadHeader},
	{"v1 with zeros before a port", "PROXY TCP4 192.0.2.1 10.0.0.1 050 443\r\n", "", proxy.ErrBadHeader},
	{"v1 of UDP", "PROXY UDP4 192.0.2.1 10.0.0.1 50000 443\r\n", "", proxy.ErrBadHeader},
	{"v1 without addresses", "PROXY TCP4\r\n", "", proxy.ErrBadHeader},
	{"v1 with more", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n", "", proxy.ErrBadHeader},
	{"in small letters", "proxy TCP4 192.0.2.1 10.0.0.1 50000 443\r\n", "", proxy.ErrNoHeader},
	{"a request", "GET / HTTP/1.1\r\n\r\n", "", proxy.ErrNoHeader},
	{"a TLS handshake", "\x16\x03\x01", "", proxy.ErrNoHeader},
	{"v2 IPv4", sign + "\x21\x11\x00\x0C" + v4, "192.0.2.1:50000", nil},
	{"v2 IPv6", sign + "\x21\x21\x00\x24" + v6, "[2001:db8::1]:50000", nil},
	{"v2 with extensions", sign + "\x21\x11\x00\x10" + v4 + "\x04\x00\x01x", "192.0.2.1:50000", nil},
	{"v2 local", sign + "\x20\x00\x00\x00", "", nil},
	{"v2 local with an address", sign + "\x20\x11\x00\x0C" + v4, "", nil},
	{"v2 unknown", sign + "\x21\x00\x00\x00", "", nil},
	{"v2 Unix", sign + "\x21\x31\x00\xD8" + strings.Repeat("u", 216), "", nil},
	{"v2 incomplete", sign + "\x21\x11\x00\x0C" + v4[:11], "", proxy.ErrShort},
	{"v2 begun", sign[:7], "", proxy.ErrShort},
	{"v2 too short for its addresses", sign + "\x21\x11\x00\x0B" + v4[:11], "", proxy.ErrBadHeader},
	{"v2 too short for IPv6", sign + "\x21\x21\x00\x0C" + v4, "", proxy.ErrBadHeader},
	{"v2 of UDP", sign + "\x21\x12\x00\x0C" + v4, "", proxy.ErrBadHeader},
	{"version 1 in binary", sign + "\x11\x11\x00\x0C" + v4, "", proxy.ErrBadHeader},
	{"v2 of another command", sign + "\x22\x11\x00\x0C" + v4, "", proxy.ErrBadHeader},
	{"v2 too long", sign + "\x21\x11\xFF\xFF" + v4, "", proxy.ErrTooLong},
	{"empty lines", "\r\n\r\nGET /", "", proxy.ErrNoHeader},
}

func TestHeadersSayWhoIsBehindAProxy(t *testing.T) {
	for _, c := range headers {
		h, err := proxy.ParseHeader([]byte(c.bytes))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
			continue
		}
		if source := spell(h.Source); source != c.source || err == nil && h.Size != len(c.bytes) {
			t.Errorf("%s: %s in %d bytes, want %s in %d", c.name, source, h.Size, c.source, len(c.bytes))
		}
	}
}

func spell(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}

func TestFieldsSayWhoIsBehindAProxyTheNearestFirst(t *testing.T) {
	for _, c := range []struct {
		field  string
		values []string
		want   []string
	}{
		{"x", nil, nil},
		{"x", []string{""}, nil},
		{"x", []string{"192.0.2.1"}, []string{"192.0.2.1"}},
		{"x", []string{"192.0.2.1, 10.0.0.1 ,\t10.0.0.2"}, []string{"10.0.0.2", "10.0.0.1", "192.0.2.1"}},
		{"x", []string{"192.0.2.1", "10.0.0.1"}, []string{"10.0.0.1", "192.0.2.1"}},
		{"x", []string{",192.0.2.1,, ,"}, []string{"192.0.2.1"}},
		{"x", []string{"192.0.2.1:50000"}, []string{"192.0.2.1:50000"}},
		{"x", []string{"2001:db8::1, [2001:db8::2], [2001:db8::3]:443"}, []string{"[2001:db8::3]:443", "2001:db8::2", "2001:db8::1"}},
		{"x", []string{"::ffff:192.0.2.1"}, []string{"192.0.2.1"}},
		{"x", []string{"unknown, _x, 1.2.3, 1.2.3.4:99999, fe80::1%eth0, [1.2.3.4], \"1.2.3.4\", 1.2.3.4 5.6.7.8"}, []string{"", "", "", "", "", "", "", ""}},
		{"f", []string{"for=192.0.2.1"}, []string{"192.0.2.1"}},
		{"f", []string{`For="[2001:db8::1]:4711";proto=http;by=10.0.0.1, for="192.0.2.1:80"`}, []string{"192.0.2.1:80", "[2001:db8::1]:4711"}},
		{"f", []string{`for=192.0.2.1;host="a, for=10.0.0.1"`}, []string{"192.0.2.1"}},
		{"f", []string{`for="192.0.2.1, for=10.0.0.9`}, []string{"10.0.0.9", ""}}, // an open quotation mark hides nothing
		{"f", []string{`for=192.0.2.1;x="a;for=10.0.0.1"`}, []string{"192.0.2.1"}},
		{"f", []string{`for=192.0.2.1;for=10.0.0.1`, `for`, `proto=http`, `for=unknown`, `for=_hidden`, `for="\"192.0.2.1"`, `for="192.0.2.1`, `for=""`}, []string{"", "", "", "", "", "", "", ""}},
	} {
		read := proxy.XForwardedFor
		if c.field == "f" {
			read = proxy.Forwarded
		}
		var got []string
		for a := range read(c.values) {
			got = append(got, spell(a))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.values, got, c.want)
		}
	}
}
