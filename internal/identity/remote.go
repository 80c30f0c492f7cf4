package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// How key sets are fetched.
const (
	maxSet       = 256 << 10        // bytes of one
	fetchTimeout = 5 * time.Second  // for all of it
	fresh        = 5 * time.Minute  // until it is fetched again
	unknownPause = 10 * time.Second // between two fetches because of keys that are not in it
	firstPause   = time.Second      // after a fetch that failed, doubling
	longestPause = time.Minute
)

// ErrAway is returned while there is no key set yet, as it cannot be fetched.
var ErrAway = errors.New("the key set could not be fetched")

// Remote is a key set at a URL. It is fetched when a token is to be checked, in good time again, and when a token names
// a key that is not in it, for then keys may have been changed; while it cannot be, the last one counts. Any goroutine
// may call its methods.
type Remote struct {
	url    string
	client *http.Client
	now    func() time.Time
	note   func(keys int, err error) // told of each fetch

	mu      sync.Mutex
	keys    Keys
	fetched time.Time     // when keys came
	next    time.Time     // not before then
	pause   time.Duration // after the next that fails
	busy    chan struct{} // closed when the fetch under way has ended; nil: there is none
	why     error         // the last fetch failed
}

// NewRemote fetches nothing yet. note is told how many keys each fetch has brought, or why it failed.
func NewRemote(url string, now func() time.Time, note func(keys int, err error)) *Remote {
	// No redirects: the keys come from where the configuration says, or not at all.
	client := &http.Client{
		Timeout: fetchTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Remote{url: url, client: client, now: now, note: note, pause: firstPause}
}

// Keys returns the set. unknown says that a token names a key that is not in the one before.
func (r *Remote) Keys(ctx context.Context, unknown bool) (Keys, error) {
	r.mu.Lock()
	busy, mine := r.busy, false
	if busy == nil && r.dueLocked(unknown) {
		busy, mine = make(chan struct{}), true
		r.busy = busy
	}
	keys := r.keys
	r.mu.Unlock()
	switch {
	case mine:
		r.fetch(ctx, busy)
	case busy == nil || keys != nil && !unknown:
		return keys, r.awayIf(keys == nil)
	default:
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, r.why)
	}
	return r.keys, nil
}

func (r *Remote) awayIf(none bool) error {
	if none {
		return ErrAway
	}
	return nil
}

func (r *Remote) dueLocked(unknown bool) bool {
	now := r.now()
	switch {
	case now.Before(r.next):
		return false
	case r.keys == nil || now.Sub(r.fetched) > fresh:
		return true
	}
	return unknown && now.Sub(r.fetched) > unknownPause
}

// fetch gets the set, once for all who wait. It does not end with the first who asked.
func (r *Remote) fetch(ctx context.Context, busy chan struct{}) {
	keys, err := r.get(context.WithoutCancel(ctx))
	r.note(len(keys), err)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(busy)
	r.busy, r.why = nil, err
	now := r.now()
	if err != nil {
		r.next = now.Add(r.pause)
		r.pause = min(2*r.pause, longestPause)
		return
	}
	r.keys, r.fetched, r.pause = keys, now, firstPause
}

func (r *Remote) get(ctx context.Context) (Keys, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s is answered %s", r.url, answer.Status)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxSet+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSet {
		return nil, fmt.Errorf("%s has more than %d bytes", r.url, maxSet)
	}
	return ParseSet(b)
}
