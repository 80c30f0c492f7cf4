// One card: a topic, its fast and its slow reader, and the slow one's lane.
import * as format from './format.js';

const late = 1000; // age in ms from which a price is late
const stale = 5000;

export class Card {
  constructor(action, laneMessages) {
    this.laneMessages = laneMessages;
    this.spills = action.spills;
    this.fast = { received: 0, newest: null };
    this.slow = null; // the server's word on the slow reader
    this.stalled = false;
    this.base = null; // its counts when the page opened
    this.started = 0; // the server's start they belong to, in ms since 1970
    const root = document.getElementById('card').content.cloneNode(true).firstElementChild;
    this.root = root;
    this.at = (selector) => root.querySelector(selector);
    root.id = action.topic;
    root.setAttribute('aria-label', action.overflow);
    this.at('h2').textContent = action.overflow;
    this.at('.sees').textContent = action.sees;
    this.bar = this.at('.bar');
    this.bar.setAttribute('aria-valuemax', laneMessages);
    this.bar.append(...Array.from({ length: laneMessages }, () => document.createElement('i')));
  }

  // A message came to this browser.
  receive(tick) {
    this.fast.received += 1;
    if (!this.fast.newest || tick.at >= this.fast.newest.at) this.fast.newest = tick;
  }

  // The server told of the slow reader. Counts are shown from when the page opened, like those of the browser; another
  // process begins them again.
  update(slow, { setting, started }) {
    if (this.started !== started) {
      this.base = structuredClone(slow);
      if (this.started !== 0) this.fast.received = 0;
      this.started = started;
    }
    this.slow = slow;
    this.stalled = setting.stalled;
    this.drawLane(slow);
    if (this.spills) this.drawDisk(slow);
  }

  // Draws what changes by itself as time goes on.
  draw(now) {
    this.drawReader(this.at('.fast'), this.fast.newest, this.fast.received, now);
    if (!this.slow) return;
    const section = this.at('.slow');
    this.drawReader(section, this.slow.newest, this.slow.received - this.base.received, now);
    const age = this.slow.newest ? now - this.slow.newest.at : 0;
    section.classList.toggle('late', age >= late && age < stale);
    section.classList.toggle('stale', age >= stale);
    this.drawAbsence(now);
  }

  drawReader(section, newest, received, now) {
    section.querySelector('.count').textContent = format.count(received);
    if (!newest) return;
    section.querySelector('.age b').textContent = format.seconds(now - newest.at);
    section.querySelector('.value').textContent = format.price(newest);
  }

  drawLane({ lane }) {
    // An entry that is partly written stands beside the lane's limit until the kernel has all of it.
    const waiting = Math.min(lane.depth, this.laneMessages);
    this.bar.setAttribute('aria-valuenow', waiting);
    this.bar.classList.toggle('brim', waiting === this.laneMessages);
    [...this.bar.children].forEach((cell, i) => cell.classList.toggle('full', i < waiting));
    this.at('.depth').textContent = `${waiting}/${this.laneMessages}`;
    this.at('.bytes').textContent = lane.open ? format.bytes(lane.bytes) : '';
    this.at('.oldest').textContent = lane.bytes > 0 ? `oldest ${format.seconds(lane.oldestAgeMs)} s` : '';
    this.drawLost(lane);
  }

  // What waits on disk behind the lane.
  drawDisk({ lane }) {
    const disk = this.at('.disk');
    const text = lane.spilled > 0 ? `${format.count(lane.spilled)} on disk, ${format.bytes(lane.spilledBytes)}` : '';
    if (disk.textContent !== text) disk.textContent = text;
    this.root.classList.toggle('behind', lane.spilled > 0);
  }

  // Whether what the slow reader got is the feed, number after number.
  drawOrder({ missing, disorder }) {
    const part = document.createElement('span');
    part.dataset.figure = 'order';
    part.textContent = missing + disorder === 0 ? 'every price so far, in order'
      : `${format.count(missing)} missing, ${format.count(disorder)} out of order`;
    return part;
  }

  // What did not reach the slow reader, by reason.
  drawLost(lane) {
    const figures = Object.entries(lane.drops).map(([reason, n]) => (
      { name: reason, label: `dropped (${reason})`, n: n - (this.base.lane.drops[reason] ?? 0) }));
    figures.push({ name: 'coalesced', label: 'replaced by newer', n: lane.coalesced - this.base.lane.coalesced });
    figures.push({ name: 'cuts', label: 'cut', n: lane.cuts }); // from the start: it may have been cut before the page came
    const parts = figures.filter((f) => f.n > 0).map(({ name, label, n }) => {
      const value = document.createElement('b');
      value.textContent = format.count(n);
      const part = document.createElement('span');
      part.dataset.figure = name;
      part.append(`${label} `, value);
      return part;
    });
    if (parts.length === 0) parts.push('nothing lost');
    if (this.spills && this.slow.received > 0) parts.push(this.drawOrder(this.slow));
    this.at('.lost').replaceChildren(...parts);
  }

  // Why there is no lane.
  drawAbsence(now) {
    const { lane, status, retryAt } = this.slow;
    let text = '';
    if (!lane.open) {
      const back = Math.ceil((retryAt - now) / 1000);
      text = status === 'connected' ? 'cut, has not noticed yet'
        : status === 'away' && back > 0 ? `refused, back in ${back} s`
          : this.stalled ? 'cut, and stalled: stays away' : 'cut, about to come back';
    }
    if (this.at('.away').textContent !== text) this.at('.away').textContent = text;
  }
}
