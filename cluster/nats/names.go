package nats

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// names are the subjects of a cluster, and its stream.
type names struct {
	channel, log, live, probe string
	stream                    string
	elected                   string // where is told that the stream has another leader
}

func newNames(prefix string) names {
	return names{
		channel: prefix + ".ch.", log: prefix + ".log.", live: prefix + ".live.", probe: prefix + ".probe.", stream: prefix,
		elected: "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED." + prefix,
	}
}

// fence is a log that has no entries: no name is written so.
const fence = "="

const hexDigits = "0123456789ABCDEF"

// plain reports whether a byte may stand in a token of a subject as it is.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_/:@", c) >= 0
}

// token is a name as one token of a subject.
func token(name string) string {
	n := 0
	for i := range len(name) {
		if !plain(name[i]) {
			n++
		}
	}
	if n == 0 {
		return name
	}
	b := make([]byte, 0, len(name)+2*n)
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// untoken is the name of a token; false: it is none.
func untoken(s string) (string, bool) {
	if strings.IndexByte(s, '=') < 0 {
		return s, s != ""
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), true
}

// tokens are the subjects of names behind a prefix.
func tokens(prefix string, list []string) []string {
	all := make([]string, 0, len(list))
	for _, n := range list {
		all = append(all, prefix+token(n))
	}
	return all
}

// newID is a name that nothing else has.
func newID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
