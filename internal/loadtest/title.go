package loadtest

import (
	"cmp"
	"fmt"
	"time"
)

// title is the run in a line.
func (o *Options) title() string {
	n := thousands(int64(o.Clients)) + " clients"
	feed := fmt.Sprintf("%g messages/s of %s", o.Feed.Rate, sizeText(o.Feed.Size))
	if o.Feed.Publish == PublishNone {
		feed = "published by somebody else"
	}
	made := ""
	switch o.Scenario {
	case Connect:
		made = n + " as fast as they are admitted"
		if o.Arrival > 0 {
			made = fmt.Sprintf("%s at %g a second", n, o.Arrival)
		}
	case Fanout:
		if o.Feed.Window > 0 {
			feed = fmt.Sprintf("closed loop of %d, %s", o.Feed.Window, sizeText(o.Feed.Size))
		}
		made = n + ", " + feed
	case Slow:
		how := "stalled"
		if o.Slow.Read > 0 {
			how = "reading " + sizeText(o.Slow.Read) + "/s"
		}
		made = fmt.Sprintf("%s, %d of them %s, %s", n, o.Slow.Share.Of(o.Clients), how, feed)
	case CatchUp:
		made = fmt.Sprintf("%s stall for %s messages of %s at %g/s, then read them", n, thousands(int64(o.Feed.Messages)), sizeText(o.Feed.Size), o.Feed.Rate)
	case Storm:
		made = fmt.Sprintf("%s, %s of them cut at once", n, Share{Fraction: o.Storm.Share})
	case Events:
		made = fmt.Sprintf("%s, %d events of %s outstanding each", n, o.Events.Window, sizeText(o.Events.Size))
	case Leak:
		made = fmt.Sprintf("%d waves of %s", o.Waves, n)
	}
	return cmp.Or(o.Title, made)
}

// nothing is what a wait of zero length waits for: it is over at once. Any other has only its time.
func nothing(d time.Duration) func() bool { return func() bool { return d == 0 } }
