// The page of `weir dev`: the browser is the fast reader, by the stock socket.io-client; the server tells of the slow
// ones.
import { io } from '/socket.io/socket.io.esm.min.js';
import { Card } from './card.js';
import { Controls } from './control.js';
import * as format from './format.js';

const drawEvery = 100; // ms

const element = (id) => document.getElementById(id);
const announce = (text) => { element('announce').textContent = text; };

const about = await (await fetch('/demo/about')).json();
const cards = new Map(about.actions.map((a) => [a.topic, new Card(a, about.laneMessages)]));
element('cards').append(...[...cards.values()].map((c) => c.root));
element('curl').textContent = about.curl;
element('curl').title = about.curl;
element('need').textContent = format.rate(Math.round((about.ticksPerSecond * about.bytesPerTick) / 1024) * 1024);
for (const e of document.querySelectorAll('.lane-size')) e.textContent = about.laneMessages;
const controls = new Controls(about, announce);

const socket = io(about.namespace);
socket.on('connect', () => {
  for (const topic of [...cards.keys(), about.helloTopic]) {
    socket.emit('subscribe', { topic }, (answer) => {
      if (!answer.ok) announce(`Not subscribed to ${topic}: ${answer.reason}`);
    });
  }
});
socket.on('disconnect', (reason) => announce(`This browser has lost the server: ${reason}. It will reconnect.`));
for (const [topic, card] of cards) socket.on(topic, (tick) => card.receive(tick));
socket.on(about.helloTopic, (payload) => {
  element('hello').classList.add('heard');
  element('hello-text').textContent = typeof payload === 'string' ? payload : JSON.stringify(payload);
});

// Ages are by the server's clock, for a browser whose own is wrong: the shortest way a state ever took is the best
// guess of the difference.
let skew = Infinity;
const now = () => Date.now() - (skew === Infinity ? 0 : skew);

const states = new EventSource('/demo/state');
states.addEventListener('message', (event) => {
  const state = JSON.parse(event.data);
  skew = Math.min(skew, Date.now() - state.now);
  controls.update(state.setting);
  for (const slow of state.slow) cards.get(slow.topic)?.update(slow, state.setting);
});

setInterval(() => {
  const t = now();
  for (const card of cards.values()) card.draw(t);
}, drawEvery);

element('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(about.curl);
    announce('Copied.');
    element('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(element('curl'));
    announce('Selected: copy it with your keyboard.');
  }
});
