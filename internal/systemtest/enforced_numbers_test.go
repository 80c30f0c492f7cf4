package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster"
)

// everyNumber is options in which each number can be set.
func everyNumber() weir.Options {
	return weir.Options{Servers: []weir.ServerOptions{{Addr: "127.0.0.1:0", Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{
		{Name: "sure", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew}, {Name: "ticks"},
	}}}}}, Journal: weir.JournalOptions{Path: "journal"}, Logger: slog.New(slog.DiscardHandler)}
}

// joined gives options the broker that a number needs.
func joined(o *weir.Options, path string) {
	if strings.HasPrefix(path, "Cluster.") {
		o.Cluster.Broker = cluster.NewMemory()
	}
}

// numbersOf are the numbers of options by path, without those that are names of something.
func numbersOf(v reflect.Value, path string, found map[string]reflect.Value) {
	if v.Type().PkgPath() != "github.com/streamweir/weir" && v.Kind() == reflect.Struct {
		return // of a library
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				numbersOf(v.Field(i), path+"."+f.Name, found)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			numbersOf(v.Index(i), fmt.Sprintf("%s[%d]", path, i), found)
		}
	case reflect.Int, reflect.Int64, reflect.Float64:
		found[strings.TrimPrefix(path, ".")] = v
	}
}

func set(v reflect.Value, n float64) {
	switch {
	case v.Kind() == reflect.Float64:
		v.SetFloat(n)
	case n >= math.MaxInt64:
		v.SetInt(math.MaxInt64)
	default:
		v.SetInt(int64(n))
	}
}

// ranges are those that the documentation of each option states. A zero is the default.
var ranges = map[string][2]float64{
	"Shards":                    {1, 4096},
	"Workers.Max":               {1, 100_000},
	"Workers.Nice":              {0, 19},
	"Workers.Deadline":          {millisecond, float64(24 * time.Hour)},
	"Workers.MailboxEvents":     {1, math.MaxInt32},
	"Workers.MailboxBytes":      {1, math.MaxInt32},
	"Outside.Max":               {1, 100_000},
	"Outside.Queue":             {1, math.MaxInt32},
	"Memory.BudgetBytes":        {weir.Off, 1 << 53},
	"Memory.HighWatermark":      {0.01, 1},
	"Drain.ClientsPerSecond":    {1, math.MaxInt32},
	"Drain.Timeout":             {1, maxMilliseconds},
	"AuthFailures.Max":          {1, math.MaxInt32},
	"AuthFailures.Window":       {1, maxMilliseconds},
	"Management.ReceiptTimeout": {1, maxMilliseconds},
	"Hooks.Timeout":             {1, maxMilliseconds},
	"Hooks.MaxCalls":            {1, 10_000},
	"Hooks.MaxWaiting":          {1, 1_000_000},
	"Hooks.MaxAnswerBytes":      {1 << 10, 1 << 20},
	"Hooks.BreakerCalls":        {1, math.MaxInt32},
	"Hooks.BreakerPause":        {1, maxMilliseconds},
	"Hooks.CacheFor":            {1, maxMilliseconds},
	"Hooks.CacheEntries":        {1, 1_000_000},
	"Hooks.CacheBytes":          {1, math.MaxInt32},
	"Journal.Interval":          {millisecond, maxMilliseconds},
	"Journal.MaxBytes":          {1 << 20, 1 << 53},

	"Servers[0].NotSentLowat":                  {weir.Off, math.MaxInt32},
	"Servers[0].Limits.HeaderTimeout":          {1, maxMilliseconds},
	"Servers[0].Limits.KeepAlive":              {millisecond, maxMilliseconds},
	"Servers[0].Limits.SubscriptionsPerSocket": {1, math.MaxInt32},
	"Servers[0].Limits.RoomsPerSocket":         {1, math.MaxInt32},
	"Servers[0].Limits.MaxSilence":             {45_000 * millisecond, 8 * maxMilliseconds},
	"Servers[0].Limits.TopicsPerNamespace":     {1, math.MaxInt32},
	"Servers[0].Limits.Connections":            {0, math.MaxInt32},
	"Servers[0].Limits.Pending":                {0, math.MaxInt32},
	"Servers[0].Limits.HandshakesPerSecond":    {0, math.MaxInt32},
	"Servers[0].Limits.PerAddress":             {0, math.MaxInt32},
	"Servers[0].Limits.PerPrincipal":           {0, math.MaxInt32},

	"Servers[0].Limits.HandshakesPerSecondPerAddress": {0, math.MaxInt32},

	"Servers[0].SocketIO.PingInterval":      {millisecond, maxMilliseconds},
	"Servers[0].SocketIO.PingTimeout":       {millisecond, maxMilliseconds},
	"Servers[0].SocketIO.ConnectTimeout":    {millisecond, maxMilliseconds},
	"Servers[0].SocketIO.UpgradeTimeout":    {millisecond, maxMilliseconds},
	"Servers[0].SocketIO.MaxHTTPBufferSize": {1, math.MaxInt32},

	"Servers[0].Namespaces[0].EventsLane.Messages":            {1, 1 << 24},
	"Servers[0].Namespaces[0].EventsLane.Bytes":               {1, math.MaxInt32},
	"Servers[0].Namespaces[0].SlowPenalty":                    {1, 60_000 * millisecond},
	"Servers[0].Namespaces[0].Topics[0].Max.Messages":         {1, 1 << 24},
	"Servers[0].Namespaces[0].Topics[0].Max.Bytes":            {1, math.MaxInt32},
	"Servers[0].Namespaces[0].Topics[0].SnapshotMax.Messages": {weir.Off, 100_000},
	"Servers[0].Namespaces[0].Topics[0].SnapshotMax.Bytes":    {1, math.MaxInt32},
	"Servers[0].Namespaces[0].Topics[0].History":              {0, 100_000},
	"Servers[0].Namespaces[0].Topics[0].HistoryBytes":         {1, math.MaxInt32},
	"Servers[0].Namespaces[0].Topics[0].TTL":                  {0, maxMilliseconds},
	"Servers[0].Namespaces[0].Topics[0].FlushDelay":           {0, 1000 * millisecond},
	"Servers[0].Namespaces[0].Topics[0].Weight":               {1, 1000},
	"Servers[0].Namespaces[0].Topics[0].MaxInFlight":          {1, 64}, // Max.Messages, by default
	"Servers[0].Namespaces[0].Topics[0].AckTimeout":           {1, maxMilliseconds},
	"Servers[0].Namespaces[0].Topics[0].MaxRetries":           {weir.Off, 1<<16 - 2},
	"Servers[0].Namespaces[0].Topics[0].RetryBackoff":         {1, 100},
	"Servers[0].Namespaces[0].Topics[0].Retention.MaxAge":     {0, maxMilliseconds},
	"Servers[0].Namespaces[0].Topics[0].Retention.MaxBytes":   {0, 1 << 53},

	"Cluster.LogRecords":  {0, 1_000_000},
	"Cluster.JoinTimeout": {weir.Off, maxMilliseconds},
}

const (
	millisecond     = float64(time.Millisecond)
	maxMilliseconds = math.MaxInt32 * millisecond
)

// Each number has a range: at its ends it is taken, beyond them refused by name. A number
// that is new has to be given one.
func TestNumbersAtTheirEdges(t *testing.T) {
	all := everyNumber()
	found := map[string]reflect.Value{}
	numbersOf(reflect.ValueOf(&all).Elem(), "", found)
	for path := range found {
		edges, known := ranges[path]
		if strings.Contains(path, "Topics[1]") {
			continue // as Topics[0]
		}
		if !known {
			t.Errorf("%s: no range is known for it", path)
			continue
		}
		beyond := []float64{math.MaxInt64}
		if edges[1] < math.MaxInt64 {
			beyond = append(beyond, max(edges[1]+1, edges[1]*(1+1e-15)))
		}
		if edges[0] > math.MinInt64 {
			beyond = append(beyond, -2, math.MinInt64)
		}
		if edges[0] < 0 {
			beyond = beyond[:min(len(beyond), 2)] // those are in it
		}
		if found[path].Kind() == reflect.Float64 {
			beyond = append(beyond, math.NaN(), math.Inf(1), math.Inf(-1))
		}
		for i, value := range append(edges[:], beyond...) {
			o := everyNumber()
			joined(&o, path)
			fields := map[string]reflect.Value{}
			numbersOf(reflect.ValueOf(&o).Elem(), "", fields)
			set(fields[path], value)
			err := o.Validate()
			switch {
			case i < len(edges) && err != nil:
				t.Errorf("%s %v: refused, though in its range: %v", path, fields[path], err)
			case i >= len(edges) && (err == nil || !strings.Contains(err.Error(), path[strings.LastIndexByte(path, '.')+1:])):
				t.Errorf("%s %v: %v, want a refusal by name", path, fields[path], err)
			}
		}
	}
}

// Whatever numbers Validate accepts, a server runs with: it is connected to, published to
// and ends.
func TestWhateverNumbersValidateAcceptsRun(t *testing.T) {
	var paths []string
	for path := range ranges {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	rapid.Check(t, func(t *rapid.T) {
		o := everyNumber()
		fields := map[string]reflect.Value{}
		numbersOf(reflect.ValueOf(&o).Elem(), "", fields)
		for range rapid.IntRange(1, 4).Draw(t, "numbers") {
			path := rapid.SampledFrom(paths).Draw(t, "path")
			joined(&o, path)
			r := ranges[path]
			value := rapid.SampledFrom([]float64{r[0], r[1], r[0] + 1, r[1] - 1, r[1] + 1, 0, -1, 1, 65_535, math.MaxInt32, math.MaxInt64}).Draw(t, "value")
			if path == "Shards" {
				value = min(value, 8) // 4096 loops are taken, and take a second
			}
			set(fields[path], value)
		}
		if o.Validate() != nil {
			return
		}
		if err := lifeOf(o); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNumbersAtBothEndsRun is a life with all numbers at their least, and at their most.
func TestNumbersAtBothEndsRun(t *testing.T) {
	for end := range 2 {
		o := everyNumber()
		fields := map[string]reflect.Value{}
		numbersOf(reflect.ValueOf(&o).Elem(), "", fields)
		for path, r := range ranges {
			if path != "Shards" && !strings.HasSuffix(path, "BudgetBytes") && !strings.HasPrefix(path, "Cluster.") { // a broker has no journal's topics
				set(fields[path], r[end])
			}
		}
		if err := lifeOf(o); err != nil {
			t.Errorf("end %d: %v", end, err)
		}
	}
}

// lifeOf runs a server, lets a client in if it does, publishes, and ends it.
func lifeOf(o weir.Options) error {
	dir, err := os.MkdirTemp("", "weir-life-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o.Journal.Path = filepath.Join(dir, "journal")
	srv, err := weir.New(withDriver(o))
	if err != nil {
		return fmt.Errorf("accepted by Validate, refused by New: %w", err)
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	if p, err := tryDial(addr(srv), dialOptions{}); err == nil { // limits may keep it out
		_ = p.conn.Close()
	}
	for _, topic := range []string{"sure", "ticks"} {
		_, err := srv.Publish(ctx, "/feed", topic, json.RawMessage("1"))
		if err != nil && !errors.Is(err, weir.ErrTooLarge) && !errors.Is(err, weir.ErrBusy) && !errors.Is(err, weir.ErrUnavailable) {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	cancel()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return errors.New("Run did not return")
	}
}

// A time to live that is longer than the clock goes does not make a message old, and one
// that is negative does not make it young.
func TestLongAndNegativeTTLs(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "ticks", TTL: time.Minute}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "ticks")
	for _, ttl := range []time.Duration{math.MaxInt64, 200 * 365 * 24 * time.Hour, time.Hour} {
		r := publish(t, srv, "ticks", ttl.String(), weir.TTL(ttl), weir.WithReceipt())
		if r.Queued != 1 {
			t.Errorf("TTL %v: %+v", ttl, r)
		}
		if m := p.next(); !strings.Contains(m, ttl.String()) {
			t.Errorf("TTL %v: read %s", ttl, m)
		}
	}
	if _, err := srv.Publish(t.Context(), "/feed", "ticks", 1, weir.TTL(-1)); !errors.Is(err, weir.ErrInvalid) {
		t.Errorf("a negative TTL: %v", err)
	}
}

// A registry may be scraped while the application still declares namespaces.
func TestNamespacesAreDeclaredWhileMetricsAreRead(t *testing.T) {
	reg := prometheus.NewRegistry()
	srv, err := weir.New(weir.Options{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := reg.Gather(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range 100 {
		srv.Namespace(fmt.Sprintf("/n%d", i))
	}
	close(stop)
	wg.Wait()
}
