// The slider and the switch. They show what the server says, whoever set it, and tell it what the viewer wants.
import * as format from './format.js';

export class Controls {
  constructor({ minRate, maxRate }, announce) {
    this.rates = [];
    for (let r = minRate; r <= maxRate; r *= 2) this.rates.push(r);
    this.rates.push(0); // as fast as it can
    this.announce = announce;
    this.slider = document.getElementById('rate');
    this.text = document.getElementById('rate-text');
    this.stall = document.getElementById('stall');
    this.setting = { rate: 0, stalled: false };
    this.pending = 0; // requests under way: until they are answered the server's word is old
    this.slider.max = this.rates.length - 1;
    this.slider.addEventListener('input', () => this.send({ rate: this.rates[this.slider.valueAsNumber] }));
    this.stall.addEventListener('click', () => this.send({ stalled: !this.setting.stalled }));
    document.getElementById('controls').addEventListener('submit', (e) => e.preventDefault());
  }

  async send(change) {
    this.show({ ...this.setting, ...change });
    this.pending += 1;
    try {
      const answer = await fetch('/demo/slow', {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(change),
      });
      if (!answer.ok) throw new Error(await answer.text());
      this.announce(this.setting.stalled ? 'The slow reader is stalled: it reads nothing.'
        : `The slow reader reads ${format.rate(this.setting.rate)}.`);
    } catch (e) {
      this.announce(`Not changed: ${e.message}`);
    } finally {
      this.pending -= 1;
    }
  }

  // Nothing can be changed while the server is gone.
  enable(on) {
    this.slider.disabled = !on;
    this.stall.disabled = !on;
  }

  // What holds on the server.
  update(setting) {
    if (this.pending === 0) this.show(setting);
  }

  show(setting) {
    this.setting = setting;
    const at = this.rates.indexOf(setting.rate);
    if (at >= 0) this.slider.value = at;
    const text = setting.stalled ? 'nothing' : format.rate(setting.rate);
    if (this.text.textContent !== text) this.text.textContent = text;
    this.slider.setAttribute('aria-valuetext', format.rate(setting.rate));
    this.stall.setAttribute('aria-pressed', setting.stalled);
    const label = setting.stalled ? 'Let it read' : 'Stall it';
    if (this.stall.textContent !== label) this.stall.textContent = label;
  }
}
