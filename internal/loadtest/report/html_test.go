package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func pageOf(t *testing.T, runs ...*report.Run) string {
	t.Helper()
	return string(written(t, func(b *bytes.Buffer) error { return report.WriteHTML(b, runs...) }))
}

// chartData is what the page's script draws.
type chartData struct {
	Title, Kind, Unit string
	Log               bool
	Lines             []struct {
		Label  string
		Colour int
		Points [][2]*float64
	}
}

func chartsOf(t *testing.T, page string) (list []chartData) {
	t.Helper()
	found := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page has no data")
	}
	if err := json.Unmarshal([]byte(found[1]), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestHTMLOfOneRunHasAChartForEachGroup(t *testing.T) {
	var got []string
	for _, c := range chartsOf(t, pageOf(t, fanout())) {
		line := c.Title + " in " + c.Unit + ":"
		for _, l := range c.Lines {
			line += " " + l.Label
		}
		got = append(got, line)
	}
	want := `Latency over time in ms: p50 p99 max
Latency by percentile in ms: publish to client connect to ready
Rates in /s: deliveries
Memory in MiB: server RSS
Clients in : ready
Server in : goroutines`
	if strings.Join(got, "\n") != want {
		t.Errorf("charts:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}

func TestHTMLOfSeveralRunsHasAChartForEachSeriesAndALineForEachRun(t *testing.T) {
	list := chartsOf(t, pageOf(t, fanout(), fanoutOfNpm()))
	titles := map[string]chartData{}
	for _, c := range list {
		titles[c.Title] = c
	}
	if len(list) != 9 {
		t.Errorf("%d charts, want 9: %v", len(list), titles)
	}
	p99 := titles["Latency over time: p99"]
	if len(p99.Lines) != 2 || p99.Lines[1].Label != "npm" || p99.Lines[0].Colour == p99.Lines[1].Colour {
		t.Errorf("lines of p99: %+v", p99.Lines)
	}
	if p99.Lines[0].Points[11][1] != nil {
		t.Errorf("the second without a delivery is %v, want a gap", *p99.Lines[0].Points[11][1])
	}
	if alone := titles["Latency by percentile: connect to ready"]; len(alone.Lines) != 1 || alone.Lines[0].Colour != 0 {
		t.Errorf("what only the first run has: %+v", alone.Lines)
	}
}

// TestCurveEndsAtTheLargestValue holds the ends of a percentile curve: all values are at or above its first point, and
// its last one is the maximum at 1/(1-q) = count.
func TestCurveEndsAtTheLargestValue(t *testing.T) {
	points := chartsOf(t, pageOf(t, fanout()))[1].Lines[1].Points
	first, last := points[0], points[len(points)-1]
	if *first[0] != 1 || *last[0] != 1000 || *last[1] != 3407.871 {
		t.Errorf("from x %v to %v, y %v; want from 1 to the count 1000, the maximum 3407.871", *first[0], *last[0], *last[1])
	}
	for i := 1; i < len(points); i++ {
		if *points[i][0] <= *points[i-1][0] || *points[i][1] < *points[i-1][1] {
			t.Errorf("point %d (%v, %v) is not after (%v, %v)", i, *points[i][0], *points[i][1], *points[i-1][0], *points[i-1][1])
		}
	}
}

func TestHTMLTablesHaveTheFiguresAndTheRatioToTheFirstRun(t *testing.T) {
	page := html.UnescapeString(pageOf(t, fanout(), fanoutOfNpm()))
	for _, want := range []string{
		"<td>1,263,417 deliveries/s</td>", `<td>72,104 deliveries/s <span class="ratio">0.0571x</span></td>`,
		`<td>352 MiB <span class="ratio">9.36x</span></td>`, `<td>2,576.38 <span class="ratio">17.2x</span></td>`,
		"<b class=\"bad\">FAIL</b> 3 gaps", "INTERRUPTED after 12.3s", "user and system time of --pid 4711",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not in the page", want)
		}
	}
}

func TestHTMLIsOneFileThatAsksForNothing(t *testing.T) {
	page := pageOf(t, fanout(), fanoutOfNpm())
	markup := regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`).ReplaceAllString(page, "")
	for _, m := range regexp.MustCompile(`(?i)\s(src|href|srcset|data|action|background)\s*=\s*["']?([^"'\s>]*)`).FindAllStringSubmatch(markup, -1) {
		if to := m[2]; to != "data:," && to != "#latencies" {
			t.Errorf("the page refers to %s by%s", to, m[0])
		}
	}
	if regexp.MustCompile(`@import|url\(`).MatchString(page) {
		t.Error("a style of the page loads something")
	}
}

// TestPolicyKnowsWhatIsInThePage: each script that runs and each style is in the Content-Security-Policy by its hash.
func TestPolicyKnowsWhatIsInThePage(t *testing.T) {
	page := pageOf(t, hostile())
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)[1])
	inline := regexp.MustCompile(`(?s)<(script|style)>(.*?)</(script|style)>`).FindAllStringSubmatch(page, -1)
	if len(inline) != 3 {
		t.Fatalf("%d scripts and styles, want uPlot, the drawing and one style", len(inline))
	}
	for _, m := range inline {
		sum := sha256.Sum256([]byte(m[2]))
		if want := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, "'sha256-"+want+"'") {
			t.Errorf("policy %s does not know the %s %.40q…", policy, m[1], m[2])
		}
	}
}

func TestHTMLOfHostileTextIsText(t *testing.T) {
	for name, page := range map[string]string{"one": pageOf(t, hostile()), "two": pageOf(t, hostile(), hostile())} {
		if strings.Contains(page, "<img") {
			t.Errorf("%s: an element of a stranger is in the page", name)
		}
		// The elements themselves: data, uPlot, the drawing.
		if n := strings.Count(page, "</script>"); n != 3 {
			t.Errorf("%s: %d ends of scripts, want 3", name, n)
		}
		if n := strings.Count(page, "<!--"); n != 1 {
			t.Errorf("%s: %d comments begin, want uPlot's licence alone", name, n)
		}
		if label := chartsOf(t, page)[0].Lines[0].Label; !strings.HasPrefix(label, "</script><img") {
			t.Errorf("%s: the script gets label %q, want the text as it was", name, label)
		}
	}
}

func TestHTMLKeepsTheLicenceOfUPlot(t *testing.T) {
	page := pageOf(t, fanout())
	for _, want := range []string{"uPlot (v1.6.32)", "The MIT License", "Copyright (c) 2022 Leon Sorokin"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
}

func TestHTMLOfNoRunIsAnError(t *testing.T) {
	if err := report.WriteHTML(new(bytes.Buffer)); err == nil {
		t.Error("no error")
	}
}

func TestHTMLOfAnEmptyRun(t *testing.T) {
	if list := chartsOf(t, pageOf(t, &report.Run{})); len(list) != 0 {
		t.Errorf("charts of nothing: %+v", list)
	}
}
