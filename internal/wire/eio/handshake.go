package eio

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// OpenPacket is the content of the open packet (1.2).
type OpenPacket struct {
	SID          string        // URL-safe characters only
	Upgrades     []string      // transports the client may change to
	PingInterval time.Duration // sent in whole milliseconds
	PingTimeout  time.Duration // sent in whole milliseconds
	MaxPayload   int           // longest POST body in bytes
}

// AppendOpen appends the text of an open packet, the keys in the order of 1.2. The strings need no escaping in JSON.
func AppendOpen(dst []byte, h OpenPacket) []byte {
	dst = append(dst, byte(Open))
	dst = append(dst, `{"sid":"`...)
	dst = append(dst, h.SID...)
	dst = append(dst, `","upgrades":[`...)
	for i, name := range h.Upgrades {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"')
	}
	dst = append(dst, `],"pingInterval":`...)
	dst = strconv.AppendInt(dst, h.PingInterval.Milliseconds(), 10)
	dst = append(dst, `,"pingTimeout":`...)
	dst = strconv.AppendInt(dst, h.PingTimeout.Milliseconds(), 10)
	dst = append(dst, `,"maxPayload":`...)
	dst = strconv.AppendInt(dst, int64(h.MaxPayload), 10)
	return append(dst, '}')
}

// ParseOpen decodes the data of an open packet, as a client receives it. Unknown keys are ignored.
func ParseOpen(data []byte) (OpenPacket, error) {
	var wire struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval uint32   `json:"pingInterval"`
		PingTimeout  uint32   `json:"pingTimeout"`
		MaxPayload   uint32   `json:"maxPayload"`
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return OpenPacket{}, fmt.Errorf("decode open packet: %w", err)
	}
	if wire.SID == "" {
		return OpenPacket{}, fmt.Errorf("decode open packet: no sid in %.100q", data)
	}
	return OpenPacket{
		SID:          wire.SID,
		Upgrades:     wire.Upgrades,
		PingInterval: time.Duration(wire.PingInterval) * time.Millisecond,
		PingTimeout:  time.Duration(wire.PingTimeout) * time.Millisecond,
		MaxPayload:   int(wire.MaxPayload),
	}, nil
}
