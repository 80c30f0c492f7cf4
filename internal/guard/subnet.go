package guard

import "net/netip"

// Subnet is the address under which a connection counts, wherever addresses are counted: that of IPv4, also when it is mapped into
// IPv6, or the /64 of IPv6, which is what one customer has. The zero Addr, a peer without an address, stays what it is.
func Subnet(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
