package hook

import (
	"context"
	"crypto/sha256"
	"time"
)

// ConnectOptions are those of the hook that is asked about clients.
type ConnectOptions struct {
	Options
	Headers []string // fields of a client's request that it is told, in any case
	// CacheFor is how long an answer that lets a token in is good for the same token; 0: for nobody else. CacheEntries and
	// CacheBytes bound what is remembered.
	CacheFor                 time.Duration
	CacheEntries, CacheBytes int
}

// Connect asks who a client is, and whether it may come in. Any goroutine may call its methods.
type Connect struct {
	*Caller
	o     ConnectOptions
	cache *cache // nil: nothing is remembered
}

// NewConnect asks nobody yet.
func NewConnect(o ConnectOptions) *Connect {
	c := &Connect{Caller: NewCaller(o.Options), o: o}
	if o.CacheFor > 0 {
		c.cache = newCache(o.CacheEntries, o.CacheBytes, o.Hold)
	}
	return c
}

// Ask has the backend asked and calls done once, by itself where the answer is known, or where nobody is asked. The error is
// ErrTooLong, ErrQuestion or a *Failure. When ctx ends, nobody waits any more.
func (c *Connect) Ask(ctx context.Context, q *Question, done func(Answer, error)) {
	key, good := c.key(q), Answer{}
	known := func() bool {
		if c.cache == nil || q.Token == "" {
			return false
		}
		found, ok := c.cache.find(key, time.Now())
		if ok {
			good = found
		}
		return ok
	}
	if known() {
		c.count[Cached].Add(1)
		done(good, nil)
		return
	}
	body, err := q.encode(c.o.Headers)
	if err != nil {
		done(Answer{}, err)
		return
	}
	c.Do(ctx, Call{
		Body: body, Needless: known, // somebody else may have shown the same token meanwhile
		Read: func(answer []byte) error {
			a, err := readAnswer(answer)
			if err != nil {
				return err
			}
			good = a
			c.remember(q, key, a, len(answer))
			return nil
		},
		Done: func(err error) { done(good, err) },
	})
}

// remember keeps an answer that lets a token in. One that does not is not kept: strangers could push out those that do.
func (c *Connect) remember(q *Question, key cacheKey, a Answer, bytes int) {
	if c.cache == nil || q.Token == "" || !a.Allow {
		return
	}
	now := time.Now()
	until := now.Add(c.o.CacheFor)
	if !a.Expires.IsZero() && a.Expires.Before(until) {
		until = a.Expires
	}
	if until.After(now) {
		c.cache.keep(key, a, bytes, until)
	}
}

// key is that of a token in a namespace. The digest of a token has one length, so no two pairs look the same.
func (c *Connect) key(q *Question) cacheKey {
	digest := sha256.Sum256([]byte(q.Token))
	return sha256.Sum256(append([]byte(q.Namespace+"\x00"), digest[:]...))
}

// Answer waits for the answer that Ask gives.
func (c *Connect) Answer(ctx context.Context, q *Question) (Answer, error) {
	type said struct {
		Answer
		error
	}
	heard := make(chan said, 1)
	c.Ask(ctx, q, func(a Answer, err error) { heard <- said{a, err} })
	s := <-heard // ctx ends every call
	return s.Answer, s.error
}

// Close is Caller's, and forgets what is remembered.
func (c *Connect) Close() {
	c.Caller.Close()
	if c.cache != nil {
		c.cache.clear()
	}
}
