package proxy_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/proxy"
)

// FuzzParseHeader: no input makes it panic; what is complete is complete with more behind it, and is not with a byte less; and an
// address that is read is one.
func FuzzParseHeader(f *testing.F) {
	for _, h := range headers {
		f.Add([]byte(h.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := proxy.ParseHeader(b)
		switch {
		case errors.Is(err, proxy.ErrShort):
			if len(b) >= proxy.MaxHeader {
				t.Fatalf("more than %d bytes are asked for", len(b))
			}
		case err != nil:
			if h != (proxy.Header{}) {
				t.Fatalf("%v, and %+v", err, h)
			}
			if _, again := proxy.ParseHeader(append(slices.Clip(b), 'x')); again == nil {
				t.Fatalf("%v, and none with a byte more", err)
			}
		default:
			if h.Size < 1 || h.Size > len(b) || h.Size > proxy.MaxHeader || h.Source.Addr().Zone() != "" || h.Source.Addr().Is4In6() {
				t.Fatalf("%+v of %d bytes", h, len(b))
			}
			for n := range h.Size {
				if _, err := proxy.ParseHeader(b[:n]); !errors.Is(err, proxy.ErrShort) {
					t.Fatalf("%v of %d bytes of %d", err, n, h.Size)
				}
			}
			if again, err := proxy.ParseHeader(append(slices.Clip(b), "\r\nmore"...)); err != nil || again != h {
				t.Fatalf("%+v, and %+v %v with more behind it", h, again, err)
			}
		}
	})
}

// FuzzXForwardedFor: an entry that a proxy adds behind anything is read as it is, and first.
func FuzzXForwardedFor(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1, 10.0.0.1", "[2001:db8::1]:80 ,, x", `"`, "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := slices.Collect(proxy.XForwardedFor([]string{s}))
		if most := strings.Count(s, ",") + 1; len(got) > most {
			t.Fatalf("%d entries of at most %d", len(got), most)
		}
		added(t, got, slices.Collect(proxy.XForwardedFor([]string{s + ", 192.0.2.9"})))
		added(t, got, slices.Collect(proxy.XForwardedFor([]string{s, "192.0.2.9"})))
	})
}

// FuzzForwarded: an entry that a proxy adds behind anything is read as it is, and first.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", `for=192.0.2.43, for="[2001:db8:cafe::17]:4711";by=203.0.113.60`, `for="_gazonk"`, `for="a, for=1.2.3.4`, `For=1.2.3.4;for=1.2.3.4`, `for="\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := slices.Collect(proxy.Forwarded([]string{s}))
		added(t, got, slices.Collect(proxy.Forwarded([]string{s + `, for=192.0.2.9;proto=https;host="a, b"`})))
		added(t, got, slices.Collect(proxy.Forwarded([]string{s, "for=192.0.2.9"})))
	})
}

// added checks that a list is another with the entry of the nearest proxy before it.
func added(t *testing.T, list, with []netip.AddrPort) {
	t.Helper()
	if want := append([]netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 9}), 0)}, list...); !slices.Equal(with, want) {
		t.Fatalf("%v, want %v", with, want)
	}
	for _, a := range with {
		if a.Addr().Zone() != "" || a.Addr().Is4In6() {
			t.Fatalf("%v", a)
		}
	}
}
