package link

// enrolment is who a socket of a client has proved to be, where connections of principals are counted (guard.Admission). A
// connection counts once for each principal, however many of its sockets are of it.
type enrolment struct {
	namespace, principal string
	next                 *enrolment
}

// Enroll counts the connection for the principal of a socket that is about to be let in, until that leaves. It reports
// false if the principal has as many connections as it may: the socket is to be refused.
func (c *Client) Enroll(namespace, principal string) bool {
	if principal == "" || !c.door.admission.CountsPrincipals() {
		return true
	}
	w := c.toWait()
	if !w.enrolledAs(principal) && !c.door.admission.EnterAs(principal) {
		c.tidy()
		c.door.refused[principalFull].Add(1)
		return false
	}
	w.enrolled = &enrolment{namespace, principal, w.enrolled}
	return true
}

// enrolledAs reports whether a socket is of a principal.
func (w *waiting) enrolledAs(principal string) bool {
	for e := w.enrolled; e != nil; e = e.next {
		if e.principal == principal {
			return true
		}
	}
	return false
}

// resign ends enrolments.
func (c *Client) resign(of func(*enrolment) bool) {
	w := c.waiting()
	if w == nil {
		return
	}
	for at := &w.enrolled; *at != nil; {
		e := *at
		if !of(e) {
			at = &e.next
			continue
		}
		*at = e.next
		if !w.enrolledAs(e.principal) {
			c.door.admission.LeaveAs(e.principal)
		}
	}
	c.tidy()
}
