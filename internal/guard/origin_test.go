package guard_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

func origins(t *testing.T, list ...string) guard.Origins {
	t.Helper()
	o, err := guard.NewOrigins(list)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOwnOriginIsAllowedAndForeignIsNot(t *testing.T) {
	const plain, secure = false, true
	for _, c := range []struct {
		origin, host string
		tls          bool
		want         guard.OriginVerdict
	}{
		{"", "feed.example.com", plain, guard.OriginAllowed}, // not a browser
		{"http://feed.example.com", "feed.example.com", plain, guard.OriginAllowed},
		{"HTTP://Feed.Example.COM", "feed.EXAMPLE.com", plain, guard.OriginAllowed},
		{"https://feed.example.com", "feed.example.com", plain, guard.OriginAllowed}, // TLS ended at a proxy
		{"https://feed.example.com", "feed.example.com", secure, guard.OriginAllowed},
		{"https://feed.example.com", "feed.example.com:443", secure, guard.OriginAllowed},
		{"https://feed.example.com:443", "feed.example.com", secure, guard.OriginAllowed},
		{"http://localhost:3000", "localhost:3000", plain, guard.OriginAllowed},
		{"http://[::1]:3000", "[0:0::1]:3000", plain, guard.OriginAllowed},
		{"http://localhost:3000/", "localhost:3000", plain, guard.OriginAllowed}, // the PHP client
		{"https://feed.example.com/", "feed.example.com", secure, guard.OriginAllowed},
		{"http://localhost:3000//", "localhost:3000", plain, guard.OriginForeign},
		{"http://localhost:3000/x", "localhost:3000", plain, guard.OriginForeign},
		{"file://", "", plain, guard.OriginForeign},
		{"app://.", ".", plain, guard.OriginForeign},
		{"http://.", ".", plain, guard.OriginForeign},

		{"http://feed.example.com", "feed.example.com", secure, guard.OriginForeign}, // a page anybody could have altered
		{"http://feed.example.com", "feed.example.com:443", plain, guard.OriginForeign},
		{"https://feed.example.com:8443", "feed.example.com", secure, guard.OriginForeign},
		{"http://localhost:8080", "localhost:3000", plain, guard.OriginForeign},
		{"http://localhost", "localhost:3000", plain, guard.OriginForeign},
		{"https://evil.com", "feed.example.com", plain, guard.OriginForeign},
		{"https://feed.example.com.evil.com", "feed.example.com", plain, guard.OriginForeign},
		{"https://evil.com/feed.example.com", "feed.example.com", plain, guard.OriginForeign},
		{"https://feed.example.com@evil.com", "feed.example.com", plain, guard.OriginForeign},
		{"https://evil.com#feed.example.com", "feed.example.com", plain, guard.OriginForeign},
		{"null", "feed.example.com", plain, guard.OriginForeign},
		{"null", "null", plain, guard.OriginForeign},
		{"*", "*", plain, guard.OriginForeign},
		{"feed.example.com", "feed.example.com", plain, guard.OriginForeign},
		{"://feed.example.com", "feed.example.com", plain, guard.OriginForeign},
		{"https://", "", plain, guard.OriginForeign},
		{"app://host", "host", plain, guard.OriginForeign},

		{"https://feed.example.com\r\nX: y", "feed.example.com", plain, guard.OriginMalformed},
		{"https://feed.example.com\x00", "feed.example.com", plain, guard.OriginMalformed},
		{"\x7f", "feed.example.com", plain, guard.OriginMalformed},
		{"https://f\u00e9ed.example.com", "feed.example.com", plain, guard.OriginForeign},
	} {
		got := guard.Origins{}.Check(guard.BrowserRequest{Origin: c.origin, Host: c.host, TLS: c.tls})
		if got != c.want {
			t.Errorf("origin %q to host %q, TLS %v: verdict %d, want %d", c.origin, c.host, c.tls, got, c.want)
		}
	}
}

func TestListedOrigins(t *testing.T) {
	o := origins(t, "https://app.example.com", "http://Localhost:5173", "https://*.Example.org", "https://*.dev.net:8443",
		"capacitor://localhost", "https://[::1]:3000")
	for origin, want := range map[string]guard.OriginVerdict{
		"https://app.example.com":       guard.OriginAllowed,
		"https://APP.example.com:443":   guard.OriginAllowed,
		"http://localhost:5173":         guard.OriginAllowed,
		"https://a.example.org":         guard.OriginAllowed,
		"https://a.b.EXAMPLE.org":       guard.OriginAllowed,
		"https://x.dev.net:8443":        guard.OriginAllowed,
		"capacitor://localhost":         guard.OriginAllowed,
		"https://[0::1]:3000":           guard.OriginAllowed,
		"http://app.example.com":        guard.OriginForeign,
		"https://app.example.com:8080":  guard.OriginForeign,
		"https://x.app.example.com":     guard.OriginForeign,
		"http://localhost:5174":         guard.OriginForeign,
		"https://example.org":           guard.OriginForeign, // the wildcard is for what is below
		"https://evilexample.org":       guard.OriginForeign,
		"https://.example.org":          guard.OriginForeign,
		"http://a.example.org":          guard.OriginForeign,
		"http://a.example.org:443":      guard.OriginForeign,
		"https://a.example.org:8443":    guard.OriginForeign,
		"https://x.dev.net":             guard.OriginForeign,
		"https://evil.com?.example.org": guard.OriginForeign,
		"ionic://localhost":             guard.OriginForeign,
		"null":                          guard.OriginForeign,
	} {
		if got := o.Check(guard.BrowserRequest{Origin: origin, Host: "feed.example.com"}); got != want {
			t.Errorf("origin %q: verdict %d, want %d", origin, got, want)
		}
	}
}

// Cordova's pages, microcontrollers and Electron's have origins that are no web sites.
func TestOriginsThatAreNoWebSitesCanBeListed(t *testing.T) {
	o := origins(t, "file://", "app://.", "https://site.example/", "null")
	for _, origin := range []string{"file://", "file:///", "app://.", "App://.", "app://./", "https://site.example", "null"} {
		if got := o.Check(guard.BrowserRequest{Origin: origin, Host: "feed.example.com"}); got != guard.OriginAllowed {
			t.Errorf("%q: verdict %d, want allowed", origin, got)
		}
	}
	for _, origin := range []string{"file://x", "app://..", "app://x", "other://", "other://.", "http://", "https://."} {
		if got := o.Check(guard.BrowserRequest{Origin: origin, Host: "feed.example.com"}); got != guard.OriginForeign {
			t.Errorf("%q: verdict %d, want foreign", origin, got)
		}
	}
}

func TestStarAndNullMustBeWrittenOut(t *testing.T) {
	check := func(o guard.Origins, origin string) guard.OriginVerdict {
		return o.Check(guard.BrowserRequest{Origin: origin, Host: "h"})
	}
	if star := origins(t, "*"); check(star, "https://any.com") != guard.OriginAllowed || check(star, "null") != guard.OriginAllowed {
		t.Error(`"*" does not allow everything`)
	} else if check(star, "a\nb") != guard.OriginMalformed {
		t.Error(`"*" allows bytes no header may hold`)
	}
	if null := origins(t, "null"); check(null, "null") != guard.OriginAllowed || check(null, "https://any.com") != guard.OriginForeign {
		t.Error(`"null" does not allow exactly null`)
	}
}

func TestBadOriginsAreAllNamed(t *testing.T) {
	list := []string{"https://good.com", "", "good.com", "https://a.com//", "https://a.com/path", "https://u@a.com", "https://*",
		"*.example.com", "https://a.*.com", "https://a.com:99999", "https://a.com:", "https://m\u00fcnchen.de", "https://*.10.0.0.1",
		"https://[::1", " https://a.com", "1a://b"}
	_, err := guard.NewOrigins(list)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(list)-1 {
		t.Fatalf("%d of %d entries refused:\n%v", len(lines), len(list)-1, err)
	}
	if want := `origins[4] "https://a.com/path": `; !strings.HasPrefix(lines[3], want) {
		t.Errorf("error %q does not begin with %q", lines[3], want)
	}
}

// Who sees the log line learns which of the usual mistakes it is.
func TestRefusedOriginsAreToldWhatToDo(t *testing.T) {
	for _, c := range []struct{ origin, host, forwarded, want string }{
		{"http://feed.example.com:8080", "127.0.0.1:3000", "feed.example.com:8080", "does not pass the Host header on"},
		{"https://feed.example.com", "upstream", "feed.example.com, inner", "does not pass the Host header on"},
		{"http://feed.example.com:8080", "feed.example.com", "", "without its port"},
		{"https://shop.example", "feed.example.com", "", "list it in origins"},
		{"https://shop.example", "upstream", "feed.example.com", "list it in origins"},
		{"null", "feed.example.com", "", "list it in origins"},
	} {
		if got := guard.OriginAdvice(guard.BrowserRequest{Origin: c.origin, Host: c.host}, c.forwarded); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
