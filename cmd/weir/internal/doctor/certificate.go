package doctor

import (
	"fmt"
	"strings"
	"time"
)

// renewBefore is how long before a certificate's end it should have been renewed.
const renewBefore = 14 * 24 * time.Hour

// certificates looks at those that servers present: they must be readable, with their keys, and not at their end.
func certificates(m Machine, n Needs) Finding {
	f := Finding{
		Name:   "certificates",
		Wanted: "none",
		Why:    "Clients refuse a certificate that has expired, all at the same moment. Weir reads one again that has changed, without a restart.",
	}
	if len(n.Certificates) == 0 {
		return f.at(OK, "no server speaks TLS")
	}
	f.Wanted = "each readable with its key, valid for 14 days or more"
	level, found := OK, make([]string, 0, len(n.Certificates))
	for _, c := range n.Certificates {
		end, text := m.certificate(c)
		found = append(found, text)
		if end < level {
			level = end
			f.Fix = fmt.Sprintf("renew %s, and have what renews it write the new one there", c.Files.Chain)
		}
	}
	return f.at(level, "%s", strings.Join(found, "; "))
}

// certificate is what is to be said of one.
func (m Machine) certificate(c Certificate) (Level, string) {
	p, err := c.Files.Load()
	now := m.Now()
	switch {
	case err != nil:
		return Fail, fmt.Sprintf("%s: %v", c.Server, err)
	case !p.NotAfter.After(now):
		return Fail, fmt.Sprintf("%s: has expired, on %s", c.Server, day(p.NotAfter))
	case p.NotBefore.After(now):
		return Fail, fmt.Sprintf("%s: is valid from %s on only", c.Server, day(p.NotBefore))
	case p.NotAfter.Sub(now) < renewBefore:
		return Warn, fmt.Sprintf("%s: expires on %s, in %d days", c.Server, day(p.NotAfter), int(p.NotAfter.Sub(now).Hours()/24))
	}
	return OK, fmt.Sprintf("%s: until %s", c.Server, day(p.NotAfter))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
