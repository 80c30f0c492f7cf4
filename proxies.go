package weir

import "github.com/streamweir/weir/internal/guard"

// ForwardedHeader is the field of a request that says where a trusted proxy had it from.
type ForwardedHeader string

// The fields. One alone is believed.
const (
	ForwardedDefault ForwardedHeader = ""                // XForwardedFor; none with ServerOptions.ProxyProtocol
	XForwardedFor    ForwardedHeader = "x-forwarded-for" // what nearly all proxies write
	ForwardedRFC7239 ForwardedHeader = "forwarded"       // Forwarded, as RFC 7239 has it
	ForwardedNone    ForwardedHeader = "none"            // nothing that requests say is believed
)

// field is the header as guard knows it.
func (s *ServerOptions) field() guard.ForwardField {
	switch {
	case s.Limits.ForwardedHeader == ForwardedRFC7239:
		return guard.Forwarded
	case s.Limits.ForwardedHeader == XForwardedFor, s.Limits.ForwardedHeader == ForwardedDefault && !s.ProxyProtocol:
		return guard.XForwardedFor
	}
	return guard.NoField
}

// proxies are those that the server trusts; the options are valid.
func (s *ServerOptions) proxies() *guard.Proxies {
	p, err := guard.NewProxies(s.Limits.TrustedProxies, s.field())
	if err != nil {
		panic("weir: options that were valid: " + err.Error())
	}
	return p
}

// validateProxies refuses what would believe anybody, or nobody.
func (s *ServerOptions) validateProxies(p *problems, at string) {
	if _, err := guard.NewProxies(s.Limits.TrustedProxies, guard.NoField); err != nil {
		p.add("%s.Limits.TrustedProxies%w", at, err)
	}
	switch h := s.Limits.ForwardedHeader; h {
	case ForwardedDefault:
	case XForwardedFor, ForwardedRFC7239, ForwardedNone:
		if len(s.Limits.TrustedProxies) == 0 {
			p.add("%s.Limits.ForwardedHeader %q: nobody is believed: TrustedProxies is empty", at, h)
		}
	default:
		p.add("%s.Limits.ForwardedHeader %q: want x-forwarded-for, forwarded or none", at, h)
	}
	switch {
	case s.ProxyProtocol && len(s.Limits.TrustedProxies) == 0:
		p.add("%s.ProxyProtocol: nobody would be believed: Limits.TrustedProxies is empty", at)
	case s.ProxyProtocol && s.Addr == "":
		p.add("%s.ProxyProtocol: needs an Addr: a mounted server has no port", at)
	}
}
