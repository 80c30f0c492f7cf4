package transport

// notHTTP answers a connection whose first bytes are no request: a TLS handshake sent to a port in the clear, most often.
// net/http would wait for the end of a line that never comes.
const notHTTP = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 76\r\n\r\n" +
	"This port speaks HTTP without TLS: use http:// or ws://, or a proxy before.\n"

// emptyLines counts the line ends that b begins with. A server ignores empty lines before a request (RFC 9112 2.2); net/http
// does so only between two of one connection.
func emptyLines(b []byte) (n int) {
	for n < len(b) && (b[n] == '\r' || b[n] == '\n') {
		n++
	}
	return n
}
