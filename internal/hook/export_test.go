package hook

import (
	"net/http"
	"time"
)

// Sign is sign.
func Sign(h http.Header, secrets [][]byte, id string, at time.Time, body []byte) {
	sign(h, secrets, id, at, body)
}

// ReadAnswer is readAnswer.
func ReadAnswer(raw []byte) (Answer, error) { return readAnswer(raw) }

// Breaker is breaker, with its verdicts as words.
type Breaker struct{ b breaker }

func NewBreaker(after int, pause time.Duration) *Breaker {
	return &Breaker{breaker{after: after, pause: pause}}
}

func (b *Breaker) Begin(now time.Time) (ok, decides bool) { return b.b.begin(now) }
func (b *Breaker) Lets(now time.Time) bool                { return b.b.lets(now) }
func (b *Breaker) State() BreakerState                    { return b.b.state }

func (b *Breaker) End(now time.Time, decides bool, word string) {
	b.b.end(now, decides, map[string]verdict{"there": there, "away": away, "unknown": unknown}[word])
}

// Cache is cache.
type Cache struct{ *cache }

func NewCache(entries, bytes int, hold func(int)) Cache { return Cache{newCache(entries, bytes, hold)} }

func (c Cache) Find(key byte, now time.Time) (Answer, bool) { return c.find(cacheKey{key}, now) }

func (c Cache) Keep(key byte, principal string, bytes int, until time.Time) {
	c.keep(cacheKey{key}, Answer{Allow: true, Principal: principal}, bytes, until)
}

// CacheBytes is cacheBytes.
const CacheBytes = cacheBytes
