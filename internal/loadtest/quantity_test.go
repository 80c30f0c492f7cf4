package loadtest_test

import (
	"testing"

	"github.com/streamweir/weir/internal/loadtest"
)

func TestSizesAreWrittenAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "128": 128, "128B": 128, "4KiB": 4096, "2KB": 2000, "2kB": 2000, "1.5KiB": 1536, "1MiB": 1 << 20, "3 MB": 3e6,
	} {
		if got, err := loadtest.ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "-1", "4 K", "x", "NaN", "9GiB", "1e99"} {
		if got, err := loadtest.ParseSize(text); err == nil {
			t.Errorf("%q is taken as %d, want an error", text, got)
		}
	}
}

func TestRatesOfBytesAreMoreThanNothing(t *testing.T) {
	if got, err := loadtest.ParseByteRate("2KB/s"); err != nil || got != 2000 {
		t.Errorf("2KB/s is %d (%v), want 2000", got, err)
	}
	for _, text := range []string{"0", "0KB/s", "/s", "2KB/min"} {
		if got, err := loadtest.ParseByteRate(text); err == nil {
			t.Errorf("%q is taken as %d, want an error", text, got)
		}
	}
}

func TestShareIsANumberOrAPart(t *testing.T) {
	for _, c := range []struct {
		text string
		of   int
		want int
	}{{"10%", 1000, 100}, {"50", 1000, 50}, {"50", 20, 20}, {"0.1%", 1000, 1}, {"100%", 7, 7}, {"0", 7, 0}} {
		s, err := loadtest.ParseShare(c.text)
		if err != nil || s.Of(c.of) != c.want {
			t.Errorf("%s of %d is %d (%v), want %d", c.text, c.of, s.Of(c.of), err, c.want)
		}
		if back, err := loadtest.ParseShare(s.String()); err != nil || back != s {
			t.Errorf("%s is written %s, which is read as %v (%v)", c.text, s, back, err)
		}
	}
	for _, text := range []string{"", "-1", "101%", "x%", "NaN%", "1.5"} {
		if s, err := loadtest.ParseShare(text); err == nil {
			t.Errorf("%q is taken as %v, want an error", text, s)
		}
	}
}
