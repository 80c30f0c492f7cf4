package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// Level says how bad a finding is. Larger is better.
type Level uint8

// The levels, worst first.
const (
	Fail    Level = iota // will break
	Warn                 // works, but not well, or not in a bad hour
	Unknown              // could not be found out
	OK
)

func (l Level) String() string {
	switch l {
	case Fail:
		return "fail"
	case Warn:
		return "warn"
	case Unknown:
		return "unknown"
	case OK:
		return "ok"
	}
	return "level " + strconv.Itoa(int(l))
}

// MarshalText makes a level a word in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a word of MarshalText.
func (l *Level) UnmarshalText(text []byte) error {
	for known := Fail; known <= OK; known++ {
		if known.String() == string(text) {
			*l = known
			return nil
		}
	}
	return fmt.Errorf("%q is not a level", text)
}

// Finding is the answer of one check.
type Finding struct {
	Name   string `json:"name"` // of the check, or the setting's own
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Wanted string `json:"wanted,omitempty"`
	Why    string `json:"why"`
	Fix    string `json:"fix,omitempty"` // a command, or what to edit; empty when there is nothing to do
}

// at is the finding with a level and what was found. It is for checks that write down first what they want and why.
// A finding that is good has no fix.
func (f Finding) at(level Level, format string, args ...any) Finding {
	f.Level, f.Found = level, fmt.Sprintf(format, args...)
	if level == OK {
		f.Fix = ""
	}
	return f
}

// unknown is the finding for what could not be read. There is no fix for what is not known to be wrong.
func (f Finding) unknown(err error) Finding {
	f.Fix = ""
	return f.at(Unknown, "%v", err)
}

// count writes 1234567 as 1,234,567.
func count[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// size writes bytes in the unit a person would choose: 64 KiB, 1.5 GiB.
func size(n int64) string {
	const step = 1 << 10
	if n < step {
		return count(n) + " B"
	}
	v, unit := float64(n), -1
	for v >= step && unit < 4 {
		v, unit = v/step, unit+1
	}
	if v < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + string("KMGTP"[unit]) + "iB"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " " + string("KMGTP"[unit]) + "iB"
}
