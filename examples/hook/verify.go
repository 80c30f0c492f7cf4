package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// window is how far the clocks of Weir and of this backend may differ.
const window = 5 * time.Minute

// verifier finds out whether a request comes from who knows a secret, has not been changed on its way, is new, and has not
// come before.
type verifier struct {
	secrets [][]byte // two while one takes the other's place
	window  time.Duration

	mu   sync.Mutex
	seen map[string]time.Time // ids of requests, and until when they are remembered
}

func (v *verifier) verify(h http.Header, body []byte, now time.Time) error {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" {
		return errors.New("not signed")
	}
	if at := time.Unix(seconds, 0); at.Before(now.Add(-v.window)) || at.After(now.Add(v.window)) {
		return errors.New("too old, or from the future")
	}
	if !v.signed(h.Get("webhook-signature"), id+"."+stamp+"."+string(body)) {
		return errors.New("the signature is wrong")
	}
	if !v.first(id, now) { // after the signature: who has no secret fills no memory
		return errors.New("it has come before")
	}
	return nil
}

// signed reports whether one of the signatures is made with one of the secrets.
func (v *verifier) signed(signatures, text string) bool {
	for signature := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(signature, "v1,")
		given, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			continue
		}
		for _, secret := range v.secrets {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(text))
			if hmac.Equal(given, mac.Sum(nil)) { // in constant time
				return true
			}
		}
	}
	return false
}

// first reports whether an id has not been seen, and remembers it as long as its timestamp is let through.
func (v *verifier) first(id string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = map[string]time.Time{}
	}
	for old, until := range v.seen {
		if now.After(until) {
			delete(v.seen, old)
		}
	}
	if _, again := v.seen[id]; again {
		return false
	}
	v.seen[id] = now.Add(2 * v.window)
	return true
}
