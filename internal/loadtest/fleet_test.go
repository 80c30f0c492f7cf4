package loadtest_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/loadtest"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestPartsOfAGroupAreTheGroup(t *testing.T) {
	for _, clients := range []int{1, 2, 7, 100, 20_001} {
		for n := 1; n <= 4; n++ {
			sum, rate := 0, 0.0
			for i := range n {
				p := loadtest.Part(swarm.Group{Clients: clients, Rate: 30, Name: "a", ReadRate: 5}, i, n)
				if p.Name != "a" || p.ReadRate != 5 || p.Clients > clients/n+1 {
					t.Errorf("part %d of %d of %d clients is %+v", i, n, clients, p)
				}
				sum, rate = sum+p.Clients, rate+p.Rate
			}
			if sum != clients || math.Abs(rate-30) > 1e-9 {
				t.Errorf("%d parts of %d clients at 30/s have %d at %v/s", n, clients, sum, rate)
			}
		}
	}
}

func TestAgentsAreAsManyAsDescriptorsDemand(t *testing.T) {
	for _, c := range []struct{ total, asked, limit, want int }{
		{1000, 0, 20_000, 0}, {18_000, 0, 20_000, 0}, {18_001, 0, 20_000, 2}, {50_000, 0, 20_000, 3}, {1000, 2, 20_000, 2}, {1000, 1, 20_000, 1},
	} {
		o := loadtest.Options{Agents: c.asked}
		if got, err := o.AgentsFor(c.total, c.limit); err != nil || got != c.want {
			t.Errorf("%+v: %d agents (%v)", c, got, err)
		}
	}
	o := loadtest.Options{Agents: 2}
	if _, err := o.AgentsFor(50_000, 20_000); err == nil || !strings.Contains(err.Error(), "--agents 3") {
		t.Errorf("too few agents: %v, want how many are needed", err)
	}
}

func TestPayloadsAreOfTheirSize(t *testing.T) {
	for _, size := range []int{0, 64, 128, 4096} {
		p := loadtest.Payload(12, 3456789, size)
		var m struct {
			N, T int64
			Pad  string
		}
		if err := json.Unmarshal(p, &m); err != nil || m.N != 12 || m.T != 3456789 || (size > 40 && len(p) != size) {
			t.Errorf("%d bytes for %d: %s (%v)", len(p), size, p, err)
		}
	}
}
