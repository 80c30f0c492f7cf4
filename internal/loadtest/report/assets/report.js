// Draws the charts of the report from the JSON in #data. The tables are in the page itself and need none of this.
(() => {
  'use strict';
  const charts = JSON.parse(document.getElementById('data').textContent);
  const colours = 8; // --c0 to --c7
  const paper = 680; // CSS pixels: the width of a chart on an A4 page

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const figure = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 4 });
  const show = (v) => (v == null ? '' : figure.format(v));

  // clock shows seconds since the start as they are read: 90 s as 1:30, and below a second with their fraction.
  function clock(seconds) {
    if (seconds < 60) return show(seconds);
    const s = Math.round(seconds);
    const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
    if (parts[0] === 0) parts.shift();
    return parts.map((n, i) => (i === 0 ? n : String(n).padStart(2, '0'))).join(':');
  }

  // percent names x = 1/(1-q): 1 is the smallest value, 100 the 99th percentile.
  function percent(x) {
    if (x == null) return '';
    const nines = Math.ceil(Math.log10(x) - 1e-9);
    return `${(100 * (1 - 1 / x)).toFixed(Math.max(0, nines - 2))}%`;
  }
  const decade = (v) => v != null && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9;

  const all = (_, list) => list;
  const decades = (_, list) => list.map((v) => (decade(v) ? v : null));
  const letter = 7; // CSS pixels of the axes' font, or a little less

  // percentTicks names as many decades as there is room for, from the left.
  function percentTicks(plot, list) {
    const named = list.filter(decade);
    const widest = Math.max(...named.map((x) => percent(x).length)) * letter + 12;
    const every = Math.ceil((widest * named.length) / (plot.bbox.width / devicePixelRatio));
    return list.map((x) => (decade(x) && Math.round(Math.log10(x)) % every === 0 ? percent(x) : ''));
  }

  const kinds = {
    time: {
      scale: { time: false, range: (_, low, high) => [Math.min(0, low), Math.max(high, low + 1)] },
      label: 'seconds since the start', cursor: clock, ticks: (_, list) => list.map(clock), filter: all,
    },
    percentile: {
      scale: { time: false, distr: 3, log: 10, range: (_, low, high) => [low, Math.max(high, low * 10)] },
      label: 'percentile', cursor: percent, ticks: percentTicks, filter: decades,
    },
  };

  // drawable makes a line uPlot's: a logarithm has no place for 0.
  const drawable = (chart, line) => [
    line.points.map((p) => p[0]),
    line.points.map((p) => (chart.log && p[1] !== null && p[1] <= 0 ? null : p[1])),
  ];

  const font = '12px system-ui, sans-serif';

  // axis has its lines at the values that filter does not turn into null.
  function axis(filter, extra) {
    const line = { stroke: css('--line'), width: 1, filter };
    return { stroke: css('--soft'), grid: line, ticks: line, font, labelFont: font, labelSize: 18, ...extra };
  }

  // broad is the width of a y axis whose longest value is to be read.
  const broad = (_, values) => Math.max(36, 16 + letter * Math.max(0, ...(values ?? []).map((v) => v?.length ?? 0)));

  function series(line) {
    const colour = line.colour % colours;
    return {
      label: line.label, stroke: css(`--c${colour}`), width: 1.75, value: (_, v) => show(v),
      dash: line.colour >= colours ? [6, 4] : undefined, points: { show: line.points.length < 3 },
    };
  }

  // range of a linear y: from 0, or below where a value is.
  const fromZero = (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.05 : 1];

  function options(chart, width) {
    const kind = kinds[chart.kind];
    const unit = [chart.unit, chart.log ? '(logarithmic)' : ''].join(' ').trim();
    return {
      width, height: 280, legend: { live: true }, cursor: { drag: { x: true, y: false } },
      scales: { x: kind.scale, y: chart.log ? { distr: 3, log: 10 } : { range: fromZero } },
      axes: [
        axis(kind.filter, { label: kind.label, values: kind.ticks, size: 32 }),
        axis(chart.log ? decades : all, {
          label: unit || undefined, size: broad, values: (_, list) => list.map((v) => (chart.log && !decade(v) ? '' : show(v))),
        }),
      ],
      series: [{ label: chart.kind === 'time' ? 'time' : 'percentile', value: (_, v) => (v == null ? '' : kind.cursor(v)) }, ...chart.lines.map(series)],
    };
  }

  const drawn = new Map(); // element -> its uPlot

  function draw(element, width) {
    const chart = charts[element.dataset.chart];
    const data = uPlot.join(chart.lines.map((line) => drawable(chart, line)));
    drawn.get(element)?.destroy();
    drawn.set(element, new uPlot(options(chart, width), data, element));
  }

  const plots = [...document.querySelectorAll('.plot')];
  const drawAll = (width) => plots.forEach((e) => draw(e, width ?? e.clientWidth));

  drawAll();
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const plot = drawn.get(target);
    if (!document.documentElement.dataset.print && plot.width !== target.clientWidth) {
      plot.setSize({ width: target.clientWidth, height: plot.height });
    }
  }));
  plots.forEach((e) => sizes.observe(e));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawAll());
  addEventListener('beforeprint', () => {
    document.documentElement.dataset.print = 'yes';
    drawAll(paper);
  });
  addEventListener('afterprint', () => {
    delete document.documentElement.dataset.print;
    drawAll();
  });
})();
