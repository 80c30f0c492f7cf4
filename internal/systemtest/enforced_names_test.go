package systemtest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// TestNamesThatAreNoTextAreRefused: a JSON reader makes one and the same character of every lone surrogate, so that
// messages of one topic would reach the subscribers of another.
func TestNamesThatAreNoTextAreRefused(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "user:*"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, name := range []string{`"user:\ud800"`, `"user:\udfff"`, `"user:\ufffd"`, `"user:\ud83d!"`} {
		p.send(`42/feed,1["subscribe",{"topic":` + name + `}]`)
		if m := p.next(); !strings.HasPrefix(m, `43/feed,1[{"ok":false,`) || !strings.Contains(m, `"code":"invalid"`) {
			t.Errorf("%s: answered %s", name, m)
		}
	}
	for _, name := range []string{"user:\uFFFD", "user:\xff"} {
		if _, err := srv.Publish(t.Context(), "/feed", name, 1); !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("publish to %q: %v, want ErrInvalid", name, err)
		}
	}
	p.send(`42/feed,2["subscribe",{"topic":"user:\ud83d\ude00"}]`)
	if m := p.next(); !strings.HasPrefix(m, `43/feed,2[{"ok":true,`) {
		t.Errorf("answered %s", m)
	}
	if _, err := weir.New(feed(weir.TopicOptions{Name: "a\xff"})); err == nil {
		t.Error("a topic whose name is no UTF-8 was declared")
	}
}
