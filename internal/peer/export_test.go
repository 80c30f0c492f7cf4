package peer

import "net"

// NewPaced is the reading side of a Conn with a rate.
func NewPaced(c net.Conn, bytesPerSecond int) net.Conn {
	p := newPaced(c)
	p.setRate(bytesPerSecond)
	return p
}

// SetRate changes the rate of what NewPaced returned.
func SetRate(c net.Conn, bytesPerSecond int) { c.(*paced).setRate(bytesPerSecond) }
