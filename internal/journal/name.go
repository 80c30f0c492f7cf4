package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Names of files in the directory of a journal and of a log. None has a byte of a topic's name.
const (
	lockName    = "lock"
	probeName   = "probe"
	stateName   = "state"
	newSuffix   = ".new"
	segSuffix   = ".seg"
	idxSuffix   = ".idx"
	damagedName = ".damaged"
)

// directory is where the log of a topic is: 32 hexadecimal digits, whatever the topic is called, so that no name leaves
// the journal, is too long, is reserved, or is another's where case does not count. The state says which topic it is.
func directory(namespace, topic string) string {
	h := sha256.Sum256([]byte(strconv.Itoa(len(namespace)) + ":" + namespace + topic))
	return hex.EncodeToString(h[:16])
}

// isDirectory reports whether a name is one that directory returns.
func isDirectory(name string) bool {
	p, err := hex.DecodeString(name)
	return err == nil && len(p) == 16 && strings.ToLower(name) == name
}

// segmentName is the name of the segment whose header has that base: names sort as offsets do.
func segmentName(base uint64) string { return fmt.Sprintf("%020d%s", base, segSuffix) }

// indexName is the name of the index of that segment.
func indexName(base uint64) string { return fmt.Sprintf("%020d%s", base, idxSuffix) }

// isAside reports whether a file was set aside.
func isAside(name string) bool { return strings.Contains(name, damagedName) }

// segmentBase is the base in a segment's name.
func segmentBase(name string) (uint64, bool) { return baseIn(name, segSuffix) }

// indexBase is the base in an index file's name.
func indexBase(name string) (uint64, bool) { return baseIn(name, idxSuffix) }

func baseIn(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil
}
