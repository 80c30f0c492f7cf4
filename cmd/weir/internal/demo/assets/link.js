// Link says whether the server is there: it is not while it tells nothing, or while this browser's Socket.IO connection
// is down. Both come back by themselves.
const quietChecks = 30; // checks without a word from the server until it counts as gone: a hung one closes nothing
const retryEvery = 2000; // ms until a stream that the browser has given up is opened again

export class Link {
  // tell is called with each state of the server; lost with the ms since 1970 of the last one, when the server is gone;
  // back when it is there again.
  constructor(url, { tell, lost, back }) {
    Object.assign(this, { url, tell, lost, back });
    this.last = Date.now();
    this.checks = 0; // since the last word
    this.here = { states: true, socket: true };
    this.whole = true;
    this.open();
  }

  open() {
    const states = new EventSource(this.url);
    states.addEventListener('message', (event) => {
      this.last = Date.now();
      this.checks = 0;
      this.mark('states', true);
      this.tell(JSON.parse(event.data));
    });
    states.addEventListener('error', () => {
      this.mark('states', false);
      if (states.readyState === EventSource.CLOSED) setTimeout(() => this.open(), retryEvery);
    });
  }

  // The socket is connected, or is not.
  socket(connected) { this.mark('socket', connected); }

  // Counts checks, not time: a page in the background looks rarely, and finds what came in between.
  check() {
    this.checks += 1;
    if (this.checks > quietChecks) this.mark('states', false);
  }

  mark(part, here) {
    this.here[part] = here;
    const whole = this.here.states && this.here.socket;
    if (whole === this.whole) return;
    this.whole = whole;
    if (whole) this.back();
    else this.lost(this.last);
  }
}
