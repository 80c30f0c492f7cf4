package report_test

import (
	"math"
	"testing"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func TestNumberHasThreeDigitsAtLeastAndSeparators(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "0", 7: "7", 1.5: "1.5", 0.8213: "0.821", 0.0123456: "0.0123", 41.25: "41.2", 99.96: "100",
		999.6: "1,000", 1263417.3: "1,263,417", -1234.5: "-1,234", 3e-9: "3e-09", 1e15: "1e+15",
		math.NaN(): "-", math.Inf(1): "-", math.Inf(-1): "-",
	} {
		if got := report.Number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestIntegerHasSeparators(t *testing.T) {
	for v, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 37902000: "37,902,000", -100: "-100", -1000: "-1,000", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := report.Integer(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
}

func TestQuantityScalesBytesAndNothingElse(t *testing.T) {
	tests := []struct {
		value float64
		unit  string
		want  string
	}{
		{344, "B", "344 B"}, {1023, "B", "1,023 B"}, {1024, "B", "1 KiB"}, {38502, "B", "37.6 KiB"}, {-369098752, "B", "-352 MiB"},
		{2048, "B/s", "2 KiB/s"}, {24 << 30, "B", "24 GiB"}, {5 << 40, "B", "5 TiB"}, {1 << 60, "B", "1,048,576 TiB"},
		{2048, "Blocks", "2,048 Blocks"}, {2048, "deliveries/s", "2,048 deliveries/s"}, {2048, "", "2,048"}, {math.NaN(), "B", "-"},
	}
	for _, tt := range tests {
		if got := report.Quantity(tt.value, tt.unit); got != tt.want {
			t.Errorf("%v %q: %s, want %s", tt.value, tt.unit, got, tt.want)
		}
	}
}

func TestRatio(t *testing.T) {
	tests := []struct {
		value, base float64
		want        string
	}{
		{72104, 1263417, "0.0571x"}, {1, 1, "1.00x"}, {2, 1, "2.00x"}, {17.54, 1, "17.5x"}, {0, 5, "0x"}, {5, 0, ""}, {0, 0, ""}, {math.NaN(), 1, ""},
	}
	for _, tt := range tests {
		if got := report.Ratio(tt.value, tt.base); got != tt.want {
			t.Errorf("%v of %v: %q, want %q", tt.value, tt.base, got, tt.want)
		}
	}
}
