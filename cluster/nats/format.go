package nats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/streamweir/weir/cluster"
)

// The headers of messages.
const (
	appendHeader = "Weir"       // of a log's: what is appended
	pieceHeader  = "Weir-Piece" // of a channel's that is in pieces: id, which, of how many, bytes of all
	formVersion  = "1"
)

// errForm says that a message is not what a member of this version writes.
var errForm = errors.New("a message of the log has another form")

// piece says which part of a whole a message is.
type piece struct {
	id    string
	index int // from 0
	of    int
	size  int // bytes of the whole
}

// heading is what a log's message says of its append. Each of an append's pieces says all of it.
type heading struct {
	piece
	epoch    string
	offset   uint64 // of the first entry; the others follow without holes
	count    int
	previous uint64 // offset of the entry before them
	before   uint64 // how many entries of this epoch are before them
	behind   uint64 // sequence in the stream of the message before them; 0: there was none
	keep     int    // how many entries the log keeps from now on
}

// last is the offset of the last entry.
func (h *heading) last() uint64 { return h.offset + uint64(h.count) - 1 } //nolint:gosec // at least 1

// total is how many entries of the epoch there are up to these.
func (h *heading) total() uint64 { return h.before + uint64(h.count) } //nolint:gosec // at least 1

// oldest is how many entries have given way: the first of the others has this number, from 0.
func (h *heading) oldest() uint64 {
	return h.total() - min(h.total(), uint64(h.keep)) //nolint:gosec // at least 1
}

func (h *heading) String() string {
	b := make([]byte, 0, 160)
	b = append(b, formVersion...)
	for _, s := range []string{h.id, h.epoch} {
		b = append(append(b, ' '), s...)
	}
	for _, n := range []uint64{h.offset, h.previous, h.before, h.behind} {
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	for _, n := range []int{h.count, h.keep, h.index, h.of, h.size} {
		b = strconv.AppendInt(append(b, ' '), int64(n), 10)
	}
	return string(b)
}

// parseHeading reads what String has written.
func parseHeading(s string) (h heading, err error) {
	f := strings.Split(s, " ")
	if len(f) != 12 || f[0] != formVersion || f[1] == "" || f[2] == "" {
		return h, errForm
	}
	h.id, h.epoch = strings.Clone(f[1]), strings.Clone(f[2])
	for i, to := range []*uint64{&h.offset, &h.previous, &h.before, &h.behind} {
		if *to, err = strconv.ParseUint(f[3+i], 10, 63); err != nil {
			return h, errForm
		}
	}
	for i, to := range []*int{&h.count, &h.keep, &h.index, &h.of, &h.size} {
		if *to, err = strconv.Atoi(f[7+i]); err != nil || *to < 0 {
			return h, errForm
		}
	}
	sound := h.offset > h.previous && h.count > 0 && h.keep > 0 && h.index < h.of && h.offset+uint64(h.count) <= cluster.MaxOffset //nolint:gosec // above 0
	if !sound {
		return h, errForm
	}
	return h, nil
}

func (p piece) String() string {
	return p.id + " " + strconv.Itoa(p.index) + " " + strconv.Itoa(p.of) + " " + strconv.Itoa(p.size)
}

func parsePiece(s string) (p piece, err error) {
	f := strings.Split(s, " ")
	if len(f) != 4 || f[0] == "" {
		return p, errForm
	}
	p.id = strings.Clone(f[0])
	for i, to := range []*int{&p.index, &p.of, &p.size} {
		if *to, err = strconv.Atoi(f[1+i]); err != nil || *to < 0 {
			return p, errForm
		}
	}
	if p.index >= p.of {
		return p, errForm
	}
	return p, nil
}

// pack is the body of an append: each entry's length and bytes.
func pack(data [][]byte) []byte {
	size := 0
	for _, d := range data {
		size += binary.MaxVarintLen32 + len(d)
	}
	b := make([]byte, 0, size)
	for _, d := range data {
		b = append(binary.AppendUvarint(b, uint64(len(d))), d...)
	}
	return b
}

// unpack reads what pack has written.
func (h *heading) unpack(body []byte) ([]cluster.Entry, error) {
	if h.count > len(body) { // each entry has its length at least
		return nil, errForm
	}
	entries := make([]cluster.Entry, 0, h.count)
	at := cluster.Position{Epoch: h.epoch, Offset: h.offset, Previous: h.previous}
	for range h.count {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) { //nolint:gosec // n is no more than there are
			return nil, errForm
		}
		body = body[n:]
		entries = append(entries, cluster.Entry{Position: at, Data: bytes.Clone(body[:size])}) // one of them may be kept without the others
		body = body[size:]
		at.Previous = at.Offset
		at.Offset++
	}
	if len(body) > 0 {
		return nil, errForm
	}
	return entries, nil
}

// positions are those of an append's entries.
func (h *heading) positions() (all []cluster.Position) {
	at := cluster.Position{Epoch: h.epoch, Offset: h.offset, Previous: h.previous}
	for range h.count {
		all = append(all, at)
		at.Previous = at.Offset
		at.Offset++
	}
	return all
}

// headed is a message's header with one field.
func headed(field, value string) nats.Header { return nats.Header{field: {value}} }
