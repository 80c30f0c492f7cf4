package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

// The parts of the page. uPlot is https://github.com/leeoniya/uPlot 1.6.32 as published on npm; its licence is beside
// it and goes into every page.
var (
	//go:embed assets/report.html
	pageSource string
	//go:embed assets/report.css
	pageStyle string
	//go:embed assets/report.js
	pageScript string
	//go:embed assets/uplot/uPlot.min.css
	plotStyle string
	//go:embed assets/uplot/uPlot.iife.min.js
	plotScript string
	//go:embed assets/uplot/LICENSE
	plotLicence string
)

var pageTemplate = template.Must(template.New("report").Parse(pageSource))

// page is what the template is filled with.
type page struct {
	Title    string
	Policy   string // Content-Security-Policy
	Style    template.HTML
	Scripts  []template.HTML
	Licence  template.HTML
	Data     template.HTML
	Several  bool
	Runs     []pageRun
	Grids    []grid // above the charts
	Charts   []pageChart
	Appendix []grid // below them
}

type pageRun struct {
	Name        string
	Colour      int
	About       string // circumstances
	Machine     string
	Interrupted string
	Verdicts    []Verdict
}

type pageChart struct {
	Number      int
	Title       string
	Alternative string
	Numbers     *grid // nil: the figures are in the table of latencies
}

// WriteHTML writes one page about one or more runs, which needs nothing else: no file, no network, and no script of
// its own to show the tables. With several runs, each has a colour and is compared with the first.
func WriteHTML(w io.Writer, runs ...*Run) error {
	if len(runs) == 0 {
		return errors.New("write the HTML report: want one run at least")
	}
	p, err := newPage(runs)
	if err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func newPage(runs []*Run) (page, error) {
	s := sheet{runs, distinct(runs)}
	list := charts(runs, s.names)
	data, err := payload(list)
	if err != nil {
		return page{}, err
	}
	title := runs[0].headline()
	if s.several() {
		title = strconv.Itoa(len(runs)) + " runs compared"
	}
	style := plotStyle + pageStyle
	return page{
		Title:    title,
		Policy:   policy([]string{plotScript, pageScript}, style),
		Style:    element("style", style),
		Scripts:  []template.HTML{element("script", plotScript), element("script", pageScript)},
		Licence:  template.HTML("<!-- Charts: uPlot, " + plotLicence + "-->"),
		Data:     template.HTML(`<script type="application/json" id="data">` + string(data) + "</script>"),
		Several:  s.several(),
		Runs:     s.heading(),
		Grids:    present(s.figures(), s.latencies()),
		Charts:   s.plots(list),
		Appendix: present(s.counts(), s.settings(), s.surroundings()),
	}, nil
}

// policy lets the page run and load what is written into it, and nothing else.
func policy(scripts []string, style string) string {
	hashes := make([]string, len(scripts))
	for i, s := range scripts {
		hashes[i] = hash(s)
	}
	return "default-src 'none'; script-src " + strings.Join(hashes, " ") + "; style-src " + hash(style) +
		"; img-src data:; base-uri 'none'; form-action 'none'"
}

// hash names an inline script or style in a Content-Security-Policy (CSP3 2.3.1).
func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// element wraps content that is ours, verbatim: its hash is in the policy.
func element(name, content string) template.HTML {
	return template.HTML("<" + name + ">" + content + "</" + name + ">")
}

func (s sheet) heading() []pageRun {
	list := make([]pageRun, len(s.runs))
	for i, r := range s.runs {
		list[i] = pageRun{
			Name: s.names[i], Colour: i % colours, About: r.circumstances(), Machine: r.Machine.sentence(), Verdicts: r.Verdicts,
		}
		if r.Interrupted {
			list[i].Interrupted = interruptedAfter(r)
		}
	}
	return list
}

// present leaves out grids without a row.
func present(grids ...grid) (kept []grid) {
	for _, g := range grids {
		if len(g.Rows) > 0 {
			kept = append(kept, g)
		}
	}
	return kept
}

func (s sheet) plots(list []chart) []pageChart {
	plots := make([]pageChart, len(list))
	for i, c := range list {
		plots[i] = pageChart{Number: i, Title: c.Title, Alternative: c.alternative()}
		if c.Unit != "" {
			plots[i].Title += ", " + c.Unit
		}
		if c.Kind == overTime {
			g := c.numbers()
			plots[i].Numbers = &g
		}
	}
	return plots
}
