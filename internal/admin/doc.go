// Package admin is the management API: it lets operators and backends publish,
// look at who lags and why, and send clients away (protocol.md 5).
//
// A request passes four gates in this order: access (a key, or the local rule),
// route (404, 405), rights (403), and the strict decoding of its parameters or
// body (400, 413). What it then asks of the server goes through the interfaces
// Publisher, Sockets and State; figures are read from the hub.
package admin
