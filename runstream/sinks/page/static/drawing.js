// Which cards are drawn when. A frame of the feed changes data only; cards that can be seen are drawn before the next
// repaint, the others while the browser has nothing else to do, some at a time. So a repaint costs what is on the
// screen, for any number of runs.

export const SPARE = 10; // cards out of sight that are drawn in one idle period
const MARGIN = "200px 0px"; // cards so close to the window count as seen

const near = new Set();
const soon = new Set();
const later = new Set();
const byCard = new WeakMap();
let draw = () => {};
let afterwards = () => {};
let repaint = 0;
let idle = 0;

const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50)); // Safari has none

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const run = byCard.get(target);
    if (!run) continue;
    if (isIntersecting) {
      near.add(run);
      drawLater(run); // its time has gone on
    } else near.delete(run);
  }
}, { rootMargin: MARGIN });

// `one` draws the card of a run; `all` is called with the runs that were drawn, once for all of them.
export function startDrawing(one, all) {
  draw = one;
  afterwards = all;
}

export function watch(run) {
  byCard.set(run.card, run);
  watcher.observe(run.card);
}

export function unwatch(run) {
  watcher.unobserve(run.card);
  for (const set of [near, soon, later]) set.delete(run);
}

export function drawLater(run) {
  if (near.has(run)) {
    later.delete(run);
    soon.add(run);
    repaint ||= requestAnimationFrame(drawSoon);
  } else {
    later.add(run);
    idle ||= whenIdle(drawSome);
  }
}

export const isNear = (run) => near.has(run);
export const runsNear = () => near;

function drawSoon() {
  repaint = 0;
  drawAll([...soon]);
}

function drawSome() {
  idle = 0;
  const some = [];
  for (const run of later) {
    some.push(run);
    if (some.length === SPARE) break;
  }
  drawAll(some);
  if (later.size > 0) idle ||= whenIdle(drawSome);
}

function drawAll(some) {
  for (const run of some) {
    soon.delete(run);
    later.delete(run);
    draw(run);
  }
  afterwards(some);
}
