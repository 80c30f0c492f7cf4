package guard

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
)

// Bounds of Agents: 320 KB at the most.
const (
	maxAgents    = 1024
	maxAgentText = 200 // bytes of a User-Agent that are kept
)

// Agents remembers the User-Agents of the clients that have come, each once, under the four bytes that every connection
// keeps: a view of a client that was cut shows its kind. Of more kinds than 1,024 those
// are known that connected last. Any goroutine may use it.
type Agents struct {
	mu    sync.Mutex
	texts ledger[uint32, string]
}

// NewAgents returns an empty one; hold is told of its memory.
func NewAgents(hold Hold) *Agents {
	a := &Agents{}
	a.texts.init(maxAgents, hold, func(_ uint32, text *string) int { return len(*text) })
	return a
}

var agentSeed = maphash.MakeSeed()

// Agent is the kind of client in four bytes: a hash of its User-Agent.
func Agent(h http.Header) uint32 { return uint32(maphash.String(agentSeed, h.Get("User-Agent"))) }

// Came notes the kind of a client that connects and returns its four bytes, see Agent.
func (a *Agents) Came(h http.Header) uint32 {
	id, text := Agent(h), h.Get("User-Agent")
	if text == "" {
		return id
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.texts.find(id); ok {
		text = *known
	} else {
		text = strings.ToValidUTF8(strings.Clone(text[:min(len(text), maxAgentText)]), "")
	}
	a.texts.renew(id, text)
	return id
}

// Text is the User-Agent of that kind; "" if it has none, or is not remembered any more.
func (a *Agents) Text(id uint32) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text, ok := a.texts.find(id); ok {
		return *text
	}
	return ""
}
