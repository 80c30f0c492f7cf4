package guard_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

func TestProxiesTellTheNearestThatIsNotTrusted(t *testing.T) {
	x, forwarded := "X-Forwarded-For", "Forwarded"
	for _, c := range []struct {
		name  string
		peer  string
		field string
		lines []string
		want  string
	}{
		{"nobody says anything", "10.0.0.1:80", x, nil, "10.0.0.1:80"},
		{"a stranger", "203.0.113.9:80", x, []string{"192.0.2.1"}, "203.0.113.9:80"},
		{"one proxy", "10.0.0.1:80", x, []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"and its port", "10.0.0.1:80", x, []string{"192.0.2.1:5000"}, "192.0.2.1:5000"},
		{"what the client has claimed", "10.0.0.1:80", x, []string{"127.0.0.1, 10.0.0.9, 192.0.2.1"}, "192.0.2.1:0"},
		{"and in a line of its own", "10.0.0.1:80", x, []string{"127.0.0.1", "192.0.2.1"}, "192.0.2.1:0"},
		{"two proxies", "10.0.0.1:80", x, []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1:0"},
		{"proxies alone", "10.0.0.1:80", x, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"a hop that hides", "10.0.0.1:80", x, []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2:0"},
		{"garbage of a proxy", "10.0.0.1:80", x, []string{"unknown"}, "10.0.0.1:80"},
		{"a proxy of IPv6", "[2001:db8:1::7]:80", x, []string{"2001:db8:2::1"}, "[2001:db8:2::1]:0"},
		{"a proxy of IPv4 in IPv6", "[::ffff:10.0.0.1]:80", x, []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"the other field", "10.0.0.1:80", forwarded, []string{"for=192.0.2.1"}, "10.0.0.1:80"},
	} {
		p, err := guard.NewProxies([]string{"10.0.0.0/8", "2001:db8:1::/48"}, guard.XForwardedFor)
		if err != nil {
			t.Fatal(err)
		}
		got := p.Client(netip.MustParseAddrPort(c.peer), http.Header{c.field: c.lines})
		if got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	p, err := guard.NewProxies([]string{"10.0.0.1"}, guard.Forwarded)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{x: {"192.0.2.1"}, forwarded: {`for=127.0.0.1, for="[2001:db8::1]:7";proto=https`}}
	if got := p.Client(netip.MustParseAddrPort("10.0.0.1:80"), h); got.String() != "[2001:db8::1]:7" {
		t.Errorf("Forwarded: %v", got)
	}
	var nobody *guard.Proxies
	if peer := netip.MustParseAddrPort("10.0.0.1:80"); nobody.Client(peer, h) != peer || nobody.Trusts(netip.Addr{}) || p.Trusts(netip.Addr{}) {
		t.Error("who trusts nobody, or has no address, is told something")
	}
}

func TestProxiesThatMeanNothingAreRefused(t *testing.T) {
	for list, want := range map[string]string{
		"10.0.0.0/33": "want a network", "localhost": "want a network", "": "want a network", "::ffff:10.0.0.0/104": "want a network", "fe80::1%eth0": "want a network",
		"10.1.0.0/8": "want 10.0.0.0/8", "0.0.0.0/0": "is everybody", "::/0": "is everybody", strings.Repeat("10.0.0.1,", 300) + "10.0.0.1": "301 networks",
	} {
		if _, err := guard.NewProxies(strings.Split(list, ","), guard.XForwardedFor); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", list, err, want)
		}
	}
	for _, network := range []string{"127.0.0.1", "::1", "::ffff:10.0.0.1", "2001:db8::/32", "10.0.0.0/8"} {
		if _, err := guard.NewProxies([]string{network}, guard.NoField); err != nil {
			t.Errorf("%s: %v", network, err)
		}
	}
}
