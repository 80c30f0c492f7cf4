// Figures as people read them.

const whole = new Intl.NumberFormat('en');

export const count = (n) => whole.format(n);

// Seconds with as many digits as fit: 0.02, 12.4, 132.
export function seconds(ms) {
  const s = Math.max(ms, 0) / 1000;
  return s < 10 ? s.toFixed(2) : s < 100 ? s.toFixed(1) : count(Math.round(s));
}

export function bytes(n) {
  if (n >= 1024 * 1024) return `${(n / 1024 / 1024).toFixed(1)} MiB`;
  return n < 1024 ? `${n} B` : `${(n / 1024).toFixed(n < 10 * 1024 ? 1 : 0)} KiB`;
}

export const rate = (bytesPerSecond) => (bytesPerSecond === 0 ? 'full speed'
  : bytesPerSecond < 1024 ? `${bytesPerSecond} B/s` : `${bytesPerSecond / 1024} KiB/s`);

export const price = (tick) => `${tick.symbol} ${tick.price.toPrecision(6).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')}`;
