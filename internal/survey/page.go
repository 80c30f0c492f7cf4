package survey

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/streamweir/weir/internal/survey/top"
)

// Page is what one node tells another of what it has found: its sums, and its clients, each as the JSON that is shown.
type Page struct {
	Total, Lagging, Losing int
	Short                  bool // clients were left out, the last: they had no room
	Clients                []Encoded
}

// Encoded is a client as JSON, and its place among all.
type Encoded struct {
	Rank top.Rank
	JSON []byte
}

// A page is encoded as
//
//	version, total, lagging, losing, short (0 or 1), { by, length, id, length, JSON } …
//
// The version is a byte, by is a signed varint, the other numbers are unsigned ones.
const pageVersion = 1

// ClientBytes is the most JSON that a page has of one client: of what has more, lanes are left out.
const ClientBytes = 256 << 10

// ErrPage says that bytes are no page, or one that was not asked for.
var ErrPage = errors.New("malformed page of clients")

// Encode is a client on a page.
func Encode(v *Client, at top.Rank) (Encoded, error) {
	for {
		b, err := json.Marshal(v)
		if err != nil {
			return Encoded{}, fmt.Errorf("encode a client: %w", err)
		}
		if len(b) <= ClientBytes || len(v.Lanes) == 0 {
			return Encoded{Rank: at, JSON: b}, nil
		}
		if len(v.Lanes) == 1 {
			v.Lanes, v.LanesLeftOut = nil, v.LanesLeftOut+1
			continue
		}
		v.LeaveOut(len(v.Lanes) / 2)
	}
}

// AppendPage appends a page in at most so many bytes: the last clients that do not fit are left out, and it is short.
func AppendPage(dst []byte, p *Page, most int) []byte {
	size := pageHead
	fit := 0
	for _, c := range p.Clients {
		size += 3*binary.MaxVarintLen64 + len(c.Rank.ID) + len(c.JSON)
		if size > most || len(c.JSON) > ClientBytes {
			break
		}
		fit++
	}
	short := uint64(0)
	if p.Short || fit < len(p.Clients) {
		short = 1
	}
	dst = append(dst, pageVersion)
	for _, n := range [...]uint64{uint64(p.Total), uint64(p.Lagging), uint64(p.Losing), short} { //nolint:gosec // counts
		dst = binary.AppendUvarint(dst, n)
	}
	for _, c := range p.Clients[:fit] {
		dst = binary.AppendVarint(dst, c.Rank.By)
		dst = append(binary.AppendUvarint(dst, uint64(len(c.Rank.ID))), c.Rank.ID...)
		dst = append(binary.AppendUvarint(dst, uint64(len(c.JSON))), c.JSON...)
	}
	return dst
}

// pageHead is the most bytes before the first client.
const pageHead = 1 + 4*binary.MaxVarintLen64

// ParsePage reads what AppendPage has written, if it has at most so many clients. Their JSON is a view into b, and not looked at.
func ParsePage(b []byte, most int) (Page, error) {
	if len(b) == 0 || b[0] != pageVersion {
		return Page{}, ErrPage
	}
	r := pageReader{b: b[1:]}
	const count = 1 << 31
	p := Page{Total: r.number(count), Lagging: r.number(count), Losing: r.number(count), Short: r.number(1) == 1}
	for len(r.b) > 0 && !r.broken {
		if len(p.Clients) >= most {
			return Page{}, fmt.Errorf("%w: more than %d", ErrPage, most)
		}
		by, n := binary.Varint(r.b)
		if n <= 0 {
			return Page{}, ErrPage
		}
		r.b = r.b[n:]
		id := r.bytes(ClientBytes)
		p.Clients = append(p.Clients, Encoded{Rank: top.Rank{By: by, ID: string(id)}, JSON: r.bytes(ClientBytes)})
	}
	if r.broken {
		return Page{}, ErrPage
	}
	return p, nil
}

// pageReader takes what a page is made of from the front of b.
type pageReader struct {
	b      []byte
	broken bool
}

func (r *pageReader) number(most uint64) int {
	n, used := binary.Uvarint(r.b)
	if r.broken = r.broken || used <= 0 || n > most; r.broken {
		return 0
	}
	r.b = r.b[used:]
	return int(n) //nolint:gosec // at most most
}

func (r *pageReader) bytes(most uint64) []byte {
	n := r.number(most)
	if r.broken = r.broken || n > len(r.b); r.broken {
		return nil
	}
	part := r.b[:n:n]
	r.b = r.b[n:]
	return part
}
