package ws

// MaxHeaderLen is the size in bytes of the longest header of an unmasked frame.
const MaxHeaderLen = 10

// ServerFrame reads the header of one unmasked, unfragmented frame made by AppendFrame or AppendDeflated: its opcode,
// the header's size and the payload's, both in bytes. head is 0 if b is too short. It is for walking frames this
// process has made; frames of a peer go through a Decoder.
func ServerFrame(b []byte) (op Opcode, head, payload int) {
	h, err := parseHeader(b, rules{role: Client, deflate: true})
	if err != nil || h.size == 0 {
		return 0, 0, 0
	}
	return h.op, h.size, int(h.length)
}
