// Waiting for what must happen. A deadline only ends a test that has already failed; no result depends on its length.
import { setTimeout as pause } from 'node:timers/promises';

const patience = Number(process.env.WEIR_CONFORMANCE_PATIENCE_MS ?? 20_000); // far more than an answer needs on a busy machine
const askAgain = 15; // ms between two questions of eventually

/** Resolves as `promise` does, or rejects naming `what` did not happen. */
export async function deadline(promise, what, ms = patience) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A test awaits it later; until then its rejection must not count as unhandled, which would end the test elsewhere.
function observed(promise) {
  promise.catch(() => {});
  return promise;
}

/** The arguments of the emitter's next `event`. Call it before whatever causes the event. */
export function next(emitter, event, ms = patience) {
  let listener;
  const arrived = new Promise((resolve) => {
    listener = (...args) => resolve(args);
    emitter.once(event, listener);
  });
  return observed(deadline(arrived, `event ${event}`, ms).finally(() => emitter.off(event, listener)));
}

/** The argument lists of the next `count` occurrences of `event`, in order. */
export function collect(emitter, event, count, ms = patience) {
  const seen = [];
  let listener;
  const all = new Promise((resolve) => {
    listener = (...args) => {
      seen.push(args);
      if (seen.length === count) resolve(seen);
    };
    emitter.on(event, listener);
  });
  const outcome = deadline(all, `${count} times event ${event}`, ms).catch((error) => {
    throw new Error(`${error.message} (got ${seen.length})`);
  });
  return observed(outcome.finally(() => emitter.off(event, listener)));
}

/** Asks `question` until the answer is truthy, and returns that. */
export async function eventually(what, question, ms = patience) {
  const end = performance.now() + ms;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`${what}: not so within ${ms} ms`);
    await pause(askAgain);
  }
}
