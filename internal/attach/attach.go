// Package attach is what Weir's own binary and tests need of a server, and embedders are not offered. The root package
// says how: it sets the functions.
package attach

// Extras are what the binary knows of its server besides weir.Options.
type Extras struct {
	// Config is the effective configuration with its secrets masked, for GET /api/config; nil: that shows {}. Any
	// goroutine may call it.
	Config func() any
	// ManagementAddrDefaulted says that nobody has chosen Options.Management.Addr: if a server of this process has that
	// port, the next free one is used, and logged (operating.md).
	ManagementAddrDefaulted bool
}

// To gives extras to a *weir.Server that does not listen yet.
var To func(server any, e Extras)

// FirstDoor returns the name of the door that ServeHTTP of a *weir.Server serves, and its Socket.IO path.
var FirstDoor func(server any) (name, path string)
