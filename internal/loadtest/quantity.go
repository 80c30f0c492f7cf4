package loadtest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is a part of something: a number of its members, or a fraction of them.
type Share struct {
	Count    int
	Fraction float64 // counts if Count is 0; 0 to 1
}

// Of is how many of n the share is, rounded to the nearest; never more than n.
func (s Share) Of(n int) int {
	if s.Count > 0 {
		return min(s.Count, n)
	}
	return int(math.Round(s.Fraction * float64(n)))
}

// String is the form ParseShare reads.
func (s Share) String() string {
	if s.Count > 0 {
		return strconv.Itoa(s.Count)
	}
	return strconv.FormatFloat(s.Fraction*100, 'g', 6, 64) + "%"
}

// ParseShare reads a number of clients, "50", or a part of them, "10%".
func ParseShare(text string) (Share, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return Share{}, fmt.Errorf("want a number such as 50, or a share from 0%% to 100%%")
		}
		return Share{Fraction: p / 100}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return Share{}, fmt.Errorf("want a number such as 50, or a share from 0%% to 100%%")
	}
	return Share{Count: n}, nil
}

// units of sizes, the longer before those they end with.
var units = []struct {
	name  string
	bytes float64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a size: "128", "128B", "4KiB", "2KB" (1 KB is 1000 bytes).
func ParseSize(text string) (int, error) {
	number, factor := text, 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0 && n*factor < 1<<31) {
		return 0, fmt.Errorf("want a size such as 128B, 4KiB or 2KB")
	}
	return int(math.Round(n * factor)), nil
}

// ParseByteRate reads bytes a second: a size with or without "/s".
func ParseByteRate(text string) (int, error) {
	n, err := ParseSize(strings.TrimSuffix(text, "/s"))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("want bytes a second, such as 2KB/s")
	}
	return n, nil
}

// sizeText is a form ParseSize reads back, as short as it is exact.
func sizeText(n int) string {
	for _, u := range units {
		if u.name != "kB" && u.bytes > 1 && n > 0 && n%int(u.bytes) == 0 {
			return strconv.Itoa(n/int(u.bytes)) + u.name
		}
	}
	return strconv.Itoa(n) + "B"
}
