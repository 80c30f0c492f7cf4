package ws

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies the masking key to b in place; a second call with the same arguments undoes the first. pos is the offset
// of b in the payload, so a payload may be masked piece by piece (RFC 6455 5.3). Eight bytes a step: BenchmarkMask.
func Mask(b []byte, key [4]byte, pos int) {
	k := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
	wide := uint64(k)<<32 | uint64(k)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(k)
		k = bits.RotateLeft32(k, -8)
	}
}
