package weir

import (
	"context"

	"github.com/streamweir/weir/internal/admin"
)

// channelOfViews is where nodes ask each other what they show of themselves (docs/nodes.md).
const channelOfViews = "views"

// others implements admin.Others.
type others struct{ of *fleet }

// Name implements admin.Others.
func (o others) Name() string { return o.of.nodeName() }

// Ask implements admin.Others.
func (o others) Ask(ctx context.Context, asked []byte, use func(answer []byte) (understood, whole bool)) *admin.Nodes {
	return o.of.inquire(ctx, channelOfViews, asked, use)
}

// beginView answers what another node asks of this one's views.
func (f *fleet) beginView(_ string, asked []byte) (answer func(ctx context.Context, most int) []byte) {
	return func(ctx context.Context, most int) []byte {
		ctx, cancel := early(ctx)
		defer cancel()
		return f.of.views.Answer(ctx, asked, most)
	}
}
