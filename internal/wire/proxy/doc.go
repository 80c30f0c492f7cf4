// Package proxy decodes what proxies say of the clients behind them: the PROXY protocol, versions 1 and 2, at the beginning of a
// connection, and the fields Forwarded (RFC 7239) and X-Forwarded-For of a request. Whom to believe is not its business.
package proxy
