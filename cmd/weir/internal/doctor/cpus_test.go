package doctor_test

import "testing"

func TestCPUsAreThoseOfTheQuota(t *testing.T) {
	for quota, want := range map[string]int{
		"max 100000": 16, "400000 100000": 4, "250000 100000": 3, "100000 100000": 1, "50000 100000": 1, "9900000 100000": 16,
	} {
		if got := stock().with(files{group + "cpu.max": quota}).machine().CPUs(); got != want {
			t.Errorf("cpu.max %s: %d CPUs, want %d", quota, got, want)
		}
	}
}
