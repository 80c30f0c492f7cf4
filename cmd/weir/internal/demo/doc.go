// Package demo is what `weir dev` runs: one Weir server with a page that shows, live and side by side, what each
// overflow action does for a client that reads slowly.
//
//	feed ──> weir.Server ──┬── browser        the fast client: stock socket.io-client on the page
//	                       └── SlowClient x6  one per action, over real TCP, read at the pace of one slider
//
// A browser cannot stop reading a websocket, so the slow clients are Go clients in the same process. Nothing about them
// is simulated: they have a small receive buffer, and what they do not read fills the kernel and then their lanes. The
// figures on the page are the ones operators get from the management API.
package demo
