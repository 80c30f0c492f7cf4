// Package weirtest runs a Weir server inside a unit test, and clients of it that read as they come, slowly, or not at
// all. What an application does for a slow client is part of what it does: here it can be tested in milliseconds.
//
//	srv := weirtest.NewServer(t, weir.Options{Namespaces: …}, handlers)
//	slow := weirtest.Dial(t, srv.URL(), "/feed", weirtest.Slow(weirtest.Stalled))
//	slow.Subscribe("prices")
//	… srv.Weir().Publish(…) until the lane is full …
//	slow.Resume()
//	price := slow.Next("prices")
//
// # How much a slow client holds
//
// A stalled client has a receive buffer of 4 KiB, and Weir gives the kernel little more than it takes, but not nothing:
// some tens of KiB are on their way before the lane fills, and more messages if they are small. So publish until the
// server says that the lane is full, and do not count: [weir.WithReceipt] tells what became of a message, and
// [weir.Server.Clients] what waits, what was dropped and why.
//
// # Failing
//
// Whatever does not work fails the test on the spot. So functions and methods are for the goroutine of the test, as
// t.FailNow is; where it says so, any goroutine may call.
package weirtest
