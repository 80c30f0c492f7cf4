// Package attach is what Weir's own binary and tests need of a server, and embedders are not offered. The root package
// says how: it sets the functions.
package attach

import "time"

// Extras are what the binary knows of its server besides weir.Options.
type Extras struct {
	// Config is the effective configuration with its secrets masked, for GET /api/config; nil: that shows {}. Any
	// goroutine may call it.
	Config func() any
	// Reload has the configuration read again, for POST /api/reload: the answer's body, or why nothing was changed. Nil: there is
	// none to be read.
	Reload func() (body any, err error)
	// Reloads are the figures of that, however it was asked for; nil: there are none.
	Reloads func() Reloads
	// ManagementAddrDefaulted says that nobody has chosen Options.Management.Addr: if a server of this process has that
	// port, the next free one is used, and logged (operating.md).
	ManagementAddrDefaulted bool
}

// Reloads count the times that the configuration was read again.
type Reloads struct {
	Applied, Refused uint64    // it was put in force; it could not be used, and nothing was changed
	Last             time.Time // when it was put in force last; zero: never
}

// Parts say what of a configuration is to be put in force in a server that runs.
type Parts struct {
	Keys    bool // Management.Keys, where there are some already
	Access  bool // Authenticate, where there is one already, and Revoked
	Hooks   bool // Hooks.Secrets, where there is a hook
	Schemas bool // NamespaceOptions.Schemas of namespaces that are there
}

// Apply puts parts of *weir.Options in force in a *weir.Server that runs. They are in order, as Validate says: nothing can fail.
var Apply func(server, options any, p Parts)

// To gives extras to a *weir.Server that does not listen yet.
var To func(server any, e Extras)

// FirstDoor returns the name of the door that ServeHTTP of a *weir.Server serves, and its Socket.IO path.
var FirstDoor func(server any) (name, path string)
