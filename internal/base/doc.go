// Package base is the vocabulary every room shares: frames and messages, the
// reasons for which a message is not delivered, the causes for which a
// connection is closed, and the table of codes that users meet.
//
// It holds data and names, no behaviour that could block: nothing here does
// I/O, reads a clock or starts a goroutine.
package base
