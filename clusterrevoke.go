package weir

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/nodes"
)

// channelOfRevocations is where nodes tell each other of revocations, and ask for them (docs/nodes.md).
const channelOfRevocations = "revoked"

// What is said there: a version, then which of these, then revocations in the form of package guard. A node that is asked for
// a page answers with the version, whether there is more, and revocations; one that is told, with how many sockets it has ended.
const (
	revocationVersion = 1

	tellRevocations = 1 // those that follow have come
	pageRevocations = 2 // which are there behind the one that follows, or from the first on?

	revocationHead  = 2
	revocationBytes = 1 << 20          // of those told at once
	agreeEvery      = 2 * nodes.Every  // until all have answered
	agreePatience   = 10 * time.Second // for a page
	agreeShare      = 256 << 10        // bytes of a page that a node tells others
)

// tell tells the other nodes of revocations, and returns how many sockets they have ended. What not all have heard is told again
// until they have.
func (f *fleet) tell(ctx context.Context, list ...guard.Revocation) (ended int, of *admin.Nodes) {
	data := guard.AppendRevocations([]byte{revocationVersion, tellRevocations}, list)
	of = f.inquire(ctx, channelOfRevocations, data, func(answer []byte) (understood, whole bool) {
		n, used := binary.Uvarint(answer[min(1, len(answer)):])
		if used <= 0 || answer[0] != revocationVersion || n > 1<<31 {
			return false, false
		}
		ended += int(n)
		return true, true
	})
	if !of.Whole() {
		select {
		case f.untold <- struct{}{}:
		default:
		}
	}
	return ended, of
}

// beginRevocations begins what another node tells or asks of revocations.
func (f *fleet) beginRevocations(_ string, asked []byte) (answer func(ctx context.Context, most int) []byte) {
	if len(asked) < revocationHead || asked[0] != revocationVersion {
		return nil
	}
	list, err := guard.ParseRevocations(asked[revocationHead:], guard.MaxRevocations)
	switch {
	case err != nil:
		return nil
	case asked[1] == tellRevocations:
		return f.note(list)
	case asked[1] == pageRevocations && len(list) <= 1:
		var after guard.Revoked
		if len(list) == 1 {
			after = list[0].Revoked
		}
		return func(ctx context.Context, most int) []byte {
			if ctx.Err() != nil {
				return nil // nobody waits
			}
			page, more := f.of.revoked.Page(after, time.Now(), min(most, agreeShare)-revocationHead)
			head := []byte{revocationVersion, 0}
			if more {
				head[1] = 1
			}
			return guard.AppendRevocations(head, page)
		}
	}
	return nil
}

// note takes note of what another node has revoked, begins to end the sockets that this concerns here, and returns how to say how
// many those were.
func (f *fleet) note(list []guard.Revocation) (answer func(ctx context.Context, most int) []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), adoptTimeout)
	defer cancel()
	var begun []*delivery.Doing
	whole := true
	for _, v := range list {
		news, err := f.take(v)
		if news {
			var doing []*delivery.Doing
			if doing, err = f.of.beginEnding(ctx, v.Revoked); err != nil {
				f.owe(v.Revoked)
			}
			begun = append(begun, doing...)
		}
		whole = whole && err == nil
	}
	if !whole {
		return nil // who has told it hears that it is not done here
	}
	return func(ctx context.Context, _ int) []byte {
		n, err := endingsOf(ctx, begun)
		if err != nil {
			return nil
		}
		return binary.AppendUvarint([]byte{revocationVersion}, uint64(n)) //nolint:gosec // not negative
	}
}

// take takes note of one of another node, and reports whether something is revoked that was not.
func (f *fleet) take(v guard.Revocation) (news bool, err error) {
	now := time.Now()
	if v.Until.Sub(now) > maxRevoked+time.Hour { // their clock may be ahead by that much
		return false, errRevokedFar
	}
	if news, err = f.of.revoked.Note(v, now); err != nil {
		f.of.log.Error("what another node has revoked is not revoked here", "jti", v.Token, "principal", v.Principal, "error", err)
	}
	return news, err
}

// errRevokedFar says that a revocation of another node ends too late.
var errRevokedFar = errors.New("it ends in more than 366 days")

// agree has this node and the others know of the same revocations: it asks for theirs when something may have been missed,
// and tells its own as long as some may not know of them. It runs from join until part.
func (f *fleet) agree() {
	r := f.nodes.Load()
	before, _ := f.of.revoked.Page(guard.Revoked{}, time.Now(), revocationBytes)
	owes := len(before) > 0 // others may not know of something: nobody was told of what was revoked before
	for {
		f.endOwed()
		missed := r.Missed()
		if !r.Whole(f.life) {
			return
		}
		whole := f.hearRevocations()
		f.endOwed()
		if owes {
			owes = !f.tellAll()
		}
		var again <-chan time.Time
		if !whole || owes {
			again = time.After(agreeEvery)
		}
		select {
		case <-missed:
		case <-again:
		case <-f.untold:
			owes = true
		case <-f.uncut:
		case <-f.life.Done():
			return
		}
	}
}

// tellAll tells all revocations that have come at run time; false: not all nodes have heard them.
func (f *fleet) tellAll() bool {
	for after, more := (guard.Revoked{}), true; more; {
		var page []guard.Revocation
		if page, more = f.of.revoked.Page(after, time.Now(), revocationBytes); len(page) == 0 {
			break
		}
		if _, of := f.tell(f.life, page...); !of.Whole() {
			return false
		}
		after = page[len(page)-1].Revoked
	}
	return true
}

// hearRevocations asks all nodes for theirs, page by page, and reports whether all have told all.
func (f *fleet) hearRevocations() (whole bool) {
	whole = true
	for after, more := (guard.Revoked{}), true; more; {
		more = false
		ask := []byte{revocationVersion, pageRevocations}
		if after != (guard.Revoked{}) {
			ask = guard.AppendRevocations(ask, []guard.Revocation{{Revoked: after, Until: time.Now()}})
		}
		ctx, cancel := context.WithTimeout(f.life, agreePatience)
		next := guard.Revoked{}
		missing, err := f.ask(ctx, channelOfRevocations, ask, func(_ nodes.Node, answer []byte) bool {
			list, rest, ok := parsePage(answer)
			for _, v := range list {
				f.adoptRevocation(v)
			}
			if rest && len(list) > 0 {
				if last := list[len(list)-1].Revoked; !more || guard.CompareRevoked(last, next) < 0 {
					next = last
				}
				more = true
			}
			return ok
		})
		cancel()
		whole = whole && err == nil && len(missing) == 0
		after = next
	}
	return whole
}

// parsePage reads an answer to pageRevocations.
func parsePage(b []byte) (list []guard.Revocation, more, ok bool) {
	if len(b) < revocationHead || b[0] != revocationVersion || b[1] > 1 {
		return nil, false, false
	}
	list, err := guard.ParseRevocations(b[revocationHead:], guard.MaxRevocations)
	return list, b[1] == 1, err == nil
}

// adoptRevocation takes note of one that another node has told when it was asked, and ends whom it concerns.
func (f *fleet) adoptRevocation(v guard.Revocation) {
	if news, err := f.take(v); err != nil || !news {
		return
	}
	f.of.log.Info("revoked by another node while this one could not hear it", "jti", v.Token, "principal", v.Principal)
	f.owe(v.Revoked)
}

// owe has agree end the sockets of whoever was revoked elsewhere: their loops may have no room for it now.
func (f *fleet) owe(what guard.Revoked) {
	f.mu.Lock()
	f.owed = append(f.owed, what)
	f.mu.Unlock()
	select {
	case f.uncut <- struct{}{}:
	default:
	}
}

// endOwed does so, waiting for room as long as it takes.
func (f *fleet) endOwed() {
	f.mu.Lock()
	owed := f.owed
	f.owed = nil
	f.mu.Unlock()
	for _, what := range owed {
		begun, err := f.of.beginEnding(f.life, what)
		if _, ended := endingsOf(f.life, begun); (err != nil || ended != nil) && f.life.Err() == nil {
			f.of.log.Error("the sockets of whoever was revoked were not all ended", "jti", what.Token, "principal", what.Principal, "error", errors.Join(err, ended))
		}
	}
}
