package admin_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/metrics"
)

func TestVerdictNamesWhatThoseWhoLagHaveInCommon(t *testing.T) {
	topics := func(list ...admin.Share) []admin.Share { return list }
	networks := topics
	since := time.Date(2026, 11, 22, 14, 3, 5, 0, time.UTC)
	for _, c := range []struct {
		name                    string
		facts                   admin.Facts
		kind, subject, sentence string
	}{
		{
			"nobody", admin.Facts{Clients: 300, Loop: time.Second},
			"nobody", "", "Nobody lags: no message waits for more than a second for any of 300 clients, and nobody loses many.",
		},
		{
			"slow loop", admin.Facts{Clients: 300, Lagging: 1, Loop: 80 * time.Millisecond},
			"node", "", "This node is behind: steps of its event loops take 80 ms (p99.9).",
		},
		{
			"a full disk, though nobody lags", admin.Facts{Clients: 300, Disk: []metrics.Trouble{{What: "full", Sentence: "the disk is full", Since: since, Detail: "no space left"}}},
			"disk", "full", "The disk is full, since 14:03:05 UTC: no space left.",
		},
		{
			"a slow disk beside those who lag", admin.Facts{
				Clients: 300, Lagging: 2, Disk: []metrics.Trouble{{What: "slow", Sentence: "the disk is slow", Since: since, Detail: "a write has not returned"}},
			},
			"disk", "slow", "The disk is slow, since 14:03:05 UTC: a write has not returned. 2 of 300 clients lag, with no topic or network in common: see /api/clients.",
		},
		{
			"two faults", admin.Facts{Disk: []metrics.Trouble{
				{What: "full", Sentence: "the disk is full", Since: since, Detail: "no space left"}, {What: "slow", Sentence: "the disk is slow", Since: since, Detail: "x"},
			}},
			"disk", "full", "The disk is full, since 14:03:05 UTC, and the disk is slow, since 14:03:05 UTC: no space left.",
		},
		{
			"deep inbox and spent budget", admin.Facts{Clients: 300, Publications: 1200, Budget: 0.93},
			"node", "", "This node is behind: 1200 publications wait in its inboxes, 93 % of its memory budget is in use.",
		},
		{
			"the node explains the rest", admin.Facts{
				Clients: 100, Lagging: 90, Loop: time.Second, Topics: topics(admin.Share{"a", 90, 90}, admin.Share{"b", 90, 0}),
			},
			"node", "", "This node is behind: steps of its event loops take 1000 ms (p99.9).",
		},
		{
			"one topic, though everyone has it", admin.Facts{
				Clients: 100, Lagging: 95,
				Topics:   topics(admin.Share{"prices of /feed", 100, 95}, admin.Share{"orders of /feed", 100, 2}),
				Networks: networks(admin.Share{"10.0.0.0/24", 50, 48}, admin.Share{"10.0.1.0/24", 50, 47}),
			},
			"topic", "prices of /feed", "One topic lags: prices of /feed, with 95 of its 100 clients; the other topics are on time.",
		},
		{
			"one network, whose topic others read well", admin.Facts{
				Clients: 413, Lagging: 14,
				Topics:   topics(admin.Share{"prices", 413, 14}, admin.Share{"plain events", 413, 0}),
				Networks: networks(admin.Share{"10.2.3.0/24", 13, 12}, admin.Share{"10.0.1.0/24", 400, 2}),
			},
			"network", "10.2.3.0/24", "One network lags: 10.2.3.0/24, with 12 of its 13 clients; elsewhere 2 of 400.",
		},
		{
			"everyone, on all topics and networks", admin.Facts{
				Clients: 100, Lagging: 95, Since: since,
				Topics:   topics(admin.Share{"prices", 100, 95}, admin.Share{"orders", 100, 93}),
				Networks: networks(admin.Share{"10.0.0.0/24", 50, 48}, admin.Share{"10.0.1.0/24", 50, 47}),
			},
			"everyone", "", "Everyone lags: 95 of 100 clients, since 14:03:05 UTC.",
		},
		{
			"everyone, where there is one topic and one network", admin.Facts{
				Clients: 10, Lagging: 9,
				Topics:   topics(admin.Share{"prices", 10, 9}),
				Networks: networks(admin.Share{"127.0.0.0/24", 10, 9}),
			},
			"everyone", "", "Everyone lags: 9 of 10 clients.",
		},
		{
			"some, here and there", admin.Facts{
				Clients: 300, Lagging: 12,
				Topics:   topics(admin.Share{"prices", 300, 7}, admin.Share{"orders", 300, 6}),
				Networks: networks(admin.Share{"10.0.0.0/24", 150, 6}, admin.Share{"10.0.1.0/24", 150, 6}),
			},
			"scattered", "", "12 of 300 clients lag, with no topic or network in common: see /api/clients.",
		},
		{
			"two have nothing in common worth naming", admin.Facts{
				Clients: 300, Lagging: 2,
				Networks: networks(admin.Share{"10.0.0.0/24", 2, 2}, admin.Share{"10.0.1.0/24", 298, 0}),
			},
			"scattered", "", "2 of 300 clients lag, with no topic or network in common: see /api/clients.",
		},
	} {
		kind, subject, sentence := admin.Judge(c.facts)
		if kind != c.kind || subject != c.subject || sentence != c.sentence {
			t.Errorf("%s:\n got %s %q %q\nwant %s %q %q", c.name, kind, subject, sentence, c.kind, c.subject, c.sentence)
		}
	}
}
