// Package socketio is the Socket.IO v5 protocol of one session (protocol.md 2):
// which namespaces are joined, which packets are allowed when, and how a packet
// and its attachments come together.
//
// A Conn belongs to the loop of its session; nothing here blocks, and handlers
// are somebody else's: what arrives is handed on with its arguments still raw.
package socketio
