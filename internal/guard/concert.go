package guard

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Nodes of a cluster agree on revocations: of two that each know of the same, the later one counts, by the clocks of the nodes
// that have made them, and of two of one millisecond the one that is in force. One that is lifted is kept until it would
// have ended, so that a node that was away does not bring it back.

// Withdraw is Lift for a node that has others: what is lifted is kept, as it returns it. false: there was none in force.
func (r *Revocations) Withdraw(what Revoked, now time.Time) (v Revocation, was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.passed[what]
	if !known.inForce(now) {
		return v, false
	}
	known.Lifted, known.Since = true, later(known.Since, now)
	return *known, true
}

// Known is what has come at run time of a name; the zero value: nothing.
func (r *Revocations) Known(what Revoked) (v Revocation) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if known := r.passed[what]; known != nil {
		v = *known
	}
	return v
}

// later is the first moment after since that another node tells from it.
func later(since, now time.Time) time.Time {
	if next := since.Add(time.Millisecond); next.After(now) {
		return next
	}
	return now
}

// Note takes note of what another node has revoked or lifted, and reports whether something is revoked that was not. It fails with
// ErrRevocationsFull.
func (r *Revocations) Note(v Revocation, now time.Time) (news bool, err error) {
	if !v.Until.After(now) {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(2, now)
	known := r.passed[v.Revoked]
	switch {
	case known == nil && len(r.passed) >= MaxRevocations:
		return false, ErrRevocationsFull
	case known == nil:
		own := v
		r.passed[v.Revoked] = &own
		r.count(&own, 1)
		heap.Push(&r.ends, &own)
		r.any.Store(true)
		return !v.Lifted, nil
	case known.supersededBy(&v):
		news = known.Lifted && !v.Lifted
		known.Since, known.Until, known.Lifted = v.Since, v.Until, v.Lifted
		heap.Fix(&r.ends, known.at)
	}
	return news, nil
}

// supersededBy reports whether another of the same counts in its place.
func (v *Revocation) supersededBy(by *Revocation) bool {
	was, is := v.Since.UnixMilli(), by.Since.UnixMilli()
	return is > was || (is == was && v.Lifted && !by.Lifted)
}

// Page is what has come at run time, behind a name in the order of names, as much of it as there is room for when encoded, and
// whether there is more.
func (r *Revocations) Page(after Revoked, now time.Time, bytes int) (list []Revocation, more bool) {
	r.mu.RLock()
	for _, v := range r.ends {
		if v.Until.After(now) && CompareRevoked(v.Revoked, after) > 0 {
			list = append(list, *v)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(list, func(a, b Revocation) int { return CompareRevoked(a.Revoked, b.Revoked) })
	for i := range list {
		if bytes -= len(list[i].Token) + len(list[i].Principal) + maxRevocationHead; bytes < 0 {
			return list[:i], true
		}
	}
	return list, false
}

// CompareRevoked is the order of pages.
func CompareRevoked(a, b Revoked) int {
	return cmp.Or(cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Token, b.Token))
}

// The form of revocations between nodes: for each what it is of, the length of its name, that, since and until in Unix
// milliseconds.
const (
	formToken     = 1
	formPrincipal = 2
	formLifted    = 4 // beside one of those

	maxRevocationHead = 1 + 2 + 2*binary.MaxVarintLen64
)

// errForm says that bytes are no revocations.
var errForm = errors.New("malformed revocations")

// AppendRevocations appends revocations as other nodes get them.
func AppendRevocations(b []byte, list []Revocation) []byte {
	for i := range list {
		v := &list[i]
		form := byte(formToken)
		if v.Principal != "" {
			form = formPrincipal
		}
		if v.Lifted {
			form |= formLifted
		}
		name := v.Token + v.Principal
		b = append(binary.AppendUvarint(append(b, form), uint64(len(name))), name...)
		b = binary.AppendUvarint(b, uint64(max(v.Since.UnixMilli(), 0)))
		b = binary.AppendUvarint(b, uint64(max(v.Until.UnixMilli(), 0)))
	}
	return b
}

// ParseRevocations reads what AppendRevocations has written, of at most so many.
func ParseRevocations(b []byte, most int) (list []Revocation, err error) {
	for len(b) > 0 {
		form := b[0]
		size, used := binary.Uvarint(b[1:])
		kind := form &^ formLifted
		if used <= 0 || size == 0 || size > MaxRevokedBytes || size > uint64(len(b)-1-used) || len(list) == most || (kind != formToken && kind != formPrincipal) {
			return nil, errForm
		}
		name := string(b[1+used : 1+used+int(size)])
		b = b[1+used+int(size):]
		v := Revocation{Revoked: Revoked{Token: name}, Lifted: form&formLifted != 0}
		if kind == formPrincipal {
			v.Revoked = Revoked{Principal: name}
		}
		for _, at := range []*time.Time{&v.Since, &v.Until} {
			ms, used := binary.Uvarint(b)
			if used <= 0 || ms > math.MaxInt64/uint64(time.Millisecond) {
				return nil, errForm
			}
			*at, b = time.UnixMilli(int64(ms)), b[used:] //nolint:gosec // bounded above
		}
		if !utf8.ValidString(name) {
			return nil, errForm
		}
		list = append(list, v)
	}
	return list, nil
}
