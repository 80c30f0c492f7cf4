package proxy

import (
	"iter"
	"net/netip"
	"strings"
)

// A request that has come through proxies has a field to which each has added whom it had the request from: the last entry is
// what the nearest proxy says, those before are what it was told. Everything left of what a proxy has added may be a forgery, made
// to be misread: entries are therefore found from the end on, and whoever reads them stops at the first that it does not
// believe.

// XForwardedFor yields the entries of X-Forwarded-For, the nearest first: an address, its port 0 where none is told, or the zero
// value for one that names no address. values are the field's lines in their order.
func XForwardedFor(values []string) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for entry := range fromTheEnd(values, ',', false) {
			if !yield(node(entry)) {
				return
			}
		}
	}
}

// Forwarded yields the entries of Forwarded (RFC 7239) as XForwardedFor does: of each what its "for" says, and the zero value for
// one that has none, several, one that is obfuscated or unknown, or is written wrongly.
func Forwarded(values []string) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for entry := range fromTheEnd(values, ',', true) {
			if !yield(forOf(entry)) {
				return
			}
		}
	}
}

// fromTheEnd yields the parts of a list, the last first and those that are empty left out. With quotes, a separator between two
// quotation marks is none. An escape inside of them is not known from the end: who reads such a part refuses it.
func fromTheEnd(values []string, separator byte, quotes bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := len(values) - 1; i >= 0; i-- {
			rest, quoted := values[i], false
			for at := len(rest) - 1; at >= -1; at-- {
				if at >= 0 {
					quoted = quoted != (quotes && rest[at] == '"')
					if quoted || rest[at] != separator {
						continue
					}
				}
				part := strings.Trim(rest[at+1:], " \t")
				rest = rest[:max(at, 0)]
				if part != "" && !yield(part) {
					return
				}
			}
		}
	}
}

// forOf is the node that the "for" of an entry of Forwarded names; the zero value if it does not, or the entry is not written as
// it should be.
func forOf(entry string) (found netip.AddrPort) {
	if strings.Contains(entry, `\`) {
		return netip.AddrPort{}
	}
	named := false
	for pair := range fromTheEnd([]string{entry}, ';', true) {
		name, value, ok := strings.Cut(pair, "=")
		value, fine := unquoted(value)
		switch {
		case !ok || !fine || named && strings.EqualFold(name, "for"):
			return netip.AddrPort{}
		case strings.EqualFold(name, "for"):
			named, found = true, node(value)
		}
	}
	return found
}

// unquoted takes the quotation marks off a value that has some; false if there is one where none may be.
func unquoted(value string) (string, bool) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, !strings.Contains(value, `"`)
}

// node is an address with or without a port; the zero value if it is none. IPv6 stands in brackets where it has a port.
func node(text string) netip.AddrPort {
	if a, err := netip.ParseAddr(text); err == nil {
		return at(a, 0)
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		a, err := netip.ParseAddr(inner[:len(inner)-1])
		if err != nil || !a.Is6() {
			return netip.AddrPort{}
		}
		return at(a, 0)
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return at(a.Addr(), a.Port())
	}
	return netip.AddrPort{}
}

// at is an address and its port, of which a zone is none of ours: it names an interface of the proxy.
func at(a netip.Addr, port uint16) netip.AddrPort {
	if a.Zone() != "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), port)
}
