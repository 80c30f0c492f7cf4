// The page of `weir dev`: the browser is the fast reader, by the stock socket.io-client; the server tells of the slow
// ones.
import { io } from '/socket.io/socket.io.esm.min.js';
import { Card } from './card.js';
import { Controls } from './control.js';
import * as format from './format.js';
import { Link } from './link.js';

const drawEvery = 100; // ms

const element = (id) => document.getElementById(id);
const announce = (text) => { element('announce').textContent = text; };

const ask = async () => (await fetch('/demo/about')).json();
const about = await ask();
const cards = new Map(about.actions.map((a) => [a.topic, new Card(a, about.laneMessages)]));
element('cards').append(...[...cards.values()].map((c) => c.root));
element('need').textContent = format.rate(Math.round((about.ticksPerSecond * about.bytesPerTick) / 1024) * 1024);
for (const e of document.querySelectorAll('.lane-size')) e.textContent = about.laneMessages;
const showCurl = ({ curl }) => { element('curl').textContent = curl; };
showCurl(about);
const controls = new Controls(about, announce);

const socket = io(about.namespace);
socket.on('connect', () => {
  for (const topic of [...cards.keys(), about.helloTopic]) {
    socket.emit('subscribe', { topic }, (answer) => {
      if (!answer.ok) announce(`Not subscribed to ${topic}: ${answer.reason}`);
    });
  }
});
for (const [topic, card] of cards) socket.on(topic, (tick) => card.receive(tick));
socket.on(about.helloTopic, (payload) => {
  element('hello').classList.add('heard');
  element('hello-text').textContent = typeof payload === 'string' ? payload : JSON.stringify(payload);
});

// Ages are by the server's clock, for a browser whose own is wrong: the shortest way a state ever took is the best
// guess of the difference.
let skew = Infinity;
const now = () => Date.now() - (skew === Infinity ? 0 : skew);

function tell(state) {
  skew = Math.min(skew, Date.now() - state.now);
  controls.update(state.setting);
  for (const slow of state.slow) cards.get(slow.topic)?.update(slow, state);
}

function lost(last) {
  document.body.classList.add('lost');
  element('lost-text').textContent = `This page shows what was at ${new Date(last).toLocaleTimeString()}, and goes on by itself when the server is back.`;
  element('lost').hidden = false;
  controls.enable(false);
}

function back() {
  document.body.classList.remove('lost');
  element('lost').hidden = true;
  controls.enable(true);
  announce('The server is back.');
  ask().then(showCurl, () => {}); // it may be another process, on other ports; gone again, it comes back again
}

const link = new Link('/demo/state', { tell, lost, back });
socket.on('connect', () => link.socket(true));
socket.on('disconnect', () => link.socket(false));

setInterval(() => {
  link.check();
  if (!link.whole) return; // what is old does not get older
  const t = now();
  for (const card of cards.values()) card.draw(t);
}, drawEvery);

element('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(element('curl').textContent);
    announce('Copied.');
    element('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(element('curl'));
    announce('Selected: copy it with your keyboard.');
  }
});
