// Command app is an application on Weir as the rows about events measure it: a typed handler decodes each event on a
// worker and what it returns answers the ack; another one burns processor time. Beside them is the topic of the rows about
// deliveries. It logs as the rig reads it: a JSON object a line on stderr, "listening", then "ready".
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/streamweir/weir"
)

// event is what the clients of `weir bench events` send.
type event struct {
	N   int64  `json:"n"`
	T   int64  `json:"t"`
	Pad string `json:"pad"`
}

// answer is what they get.
type answer struct {
	OK bool  `json:"ok"`
	N  int64 `json:"n"`
}

var errNegative = errors.New("n is negative")

func main() {
	driver := flag.String("driver", "auto", "how connections are held: auto, epoll, goroutine")
	inbound := flag.String("inbound", "", "bound the events of each client: throttle, drop, disconnect; default no bound")
	messages := flag.Int("messages", 0, "events a second that a client may send; 0: the default of a bound")
	flag.Parse()
	if *driver == "auto" {
		*driver = string(weir.DriverAuto)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o := options{driver: weir.Driver(*driver)}
	if *inbound != "" {
		o.inbound = []weir.InboundLimit{{Events: "event", Messages: *messages, Bytes: weir.Off, Action: weir.InboundAction(*inbound)}}
	}
	err := serve(ctx, log, o)
	stop()
	if err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

// options are what the rows vary.
type options struct {
	driver  weir.Driver
	inbound []weir.InboundLimit
}

// serve runs as the binary does (cmd/weir/tuning.go): an event loop for each CPU, threads for workers besides, which yield.
func serve(ctx context.Context, log *slog.Logger, o options) error {
	shards := runtime.GOMAXPROCS(0)
	if procs := 2 * shards; shards > 1 {
		runtime.GOMAXPROCS(procs + 1)
	} else {
		runtime.GOMAXPROCS(procs)
	}
	srv, err := weir.New(weir.Options{
		Servers: []weir.ServerOptions{{
			Name: "bench", Addr: "127.0.0.1:0", Driver: o.driver, Limits: weir.ServerLimits{Inbound: o.inbound},
			Namespaces: []weir.NamespaceOptions{{
				Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "tick", Overflow: weir.DropOldest}},
			}},
		}},
		Shards: shards, Workers: weir.WorkerOptions{Nice: 10}, Logger: log,
		Drain: weir.DrainOptions{ClientsPerSecond: 100_000, Timeout: time.Second},
	})
	if err != nil {
		return err
	}
	weir.Handle(srv.Namespace("/feed"), "event", take)
	weir.Handle(srv.Namespace("/feed"), "burn", burn)
	if err := srv.Listen(); err != nil {
		return err
	}
	log.Info("listening", "server", "bench", "address", srv.Addr("bench").String())
	log.Info("ready")
	return srv.Run(ctx)
}

// take is the handler: what it is asked for is in the payload, so that it has to be decoded.
func take(_ context.Context, _ *weir.Socket, e event) (answer, error) {
	if e.N < 0 {
		return answer{}, errNegative
	}
	return answer{OK: true, N: e.N}, nil
}

// burnTime is how long burn computes.
const burnTime = 100 * time.Millisecond

// burn is a handler that computes: as long as the clock says, so that one that has to yield its processor computes less.
func burn(_ context.Context, _ *weir.Socket, e event) (answer, error) {
	for until := time.Now().Add(burnTime); time.Now().Before(until); {
		e.N++
	}
	return answer{OK: true, N: e.N}, nil
}
