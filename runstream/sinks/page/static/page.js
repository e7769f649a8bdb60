// Shows the frames of a feed (described in diff.py): keeps what is known of each run, and the facts of the whole page.

import { changeBlock, drawCard, drawTime, keepBlocks, makeRun, scrollToEnds, write } from "./cards.js";
import { drawLater, runsNear, startDrawing, unwatch, watch } from "./drawing.js";
import { find, forgetFound, showFound, startFinding } from "./find.js";
import { addLines, clearLog, showModels } from "./log.js";

const FIRST_DELAY = 500; // milliseconds before the first attempt to connect again; doubled with each
const LAST_DELAY = 10_000;
const SILENCE = 40_000; // the server sends a frame every 15 s at least
const NEWS_PAUSE = 2_000; // between two announcements to screen readers

const byId = (id) => document.getElementById(id);
const connection = byId("connection");
const retry = byId("retry");
const lists = { open: byId("open").querySelector(".cards"), ended: byId("ended").querySelector(".cards") };

const runs = new Map(); // by number
let page = {}; // facts of the whole page
let stale = new Set(); // numbers from before a new connection, until it sends them again
let feed = null;
let clockOffset = 0; // seconds that the server's clock is ahead of ours

const serverTime = () => page.ended ?? Date.now() / 1000 + clockOffset;

// Runs

function dropRun(number) {
  const run = runs.get(number);
  if (run) {
    forgetFound(run);
    unwatch(run);
    run.card.remove();
  }
  runs.delete(number);
  stale.delete(number);
}

// Open runs stand in order of appearance, ended ones the latest first.
function place(run, list) {
  if (run.list === list) return;
  run.list = list;
  const focused = run.card.contains(document.activeElement) ? document.activeElement : null;
  byId(list).hidden = false; // what is hidden can't be scrolled
  lists[list].insertBefore(run.card, list === "ended" ? lists.ended.firstChild : openCardAfter(run.number));
  if (run.top > 0) run.parts.box.scrollTop = run.top; // moving takes it away, and the focus
  focused?.focus({ preventScroll: true });
}

function openCardAfter(number) {
  const last = lists.open.lastChild;
  if (last === null || Number(last.dataset.number) < number) return null; // the usual case, for any number of runs
  return [...lists.open.children].find((card) => Number(card.dataset.number) > number) ?? null;
}

// Frames

function apply(frame) {
  clockOffset = frame.now - Date.now() / 1000;
  if ("feed" in frame) begin(frame.feed);
  Object.assign(page, frame.page);
  if (frame.log) addLines(frame.log);
  const over = frame.page?.ended != null;
  for (const number of frame.gone ?? []) dropRun(number);
  for (const change of frame.runs ?? []) applyRun(change);
  if (!frame.more) {
    for (const number of stale) dropRun(number);
  }
  if (over) for (const run of runs.values()) drawLater(run);
  if (frame.page || frame.runs || frame.gone) showPage();
}

function begin(name) {
  if (name !== feed) for (const number of [...runs.keys()]) dropRun(number);
  feed = name;
  page = {};
  clearLog();
  stale = new Set(runs.keys()); // what is still there stays where it is, so that nobody loses their place
}

function applyRun(change) {
  const known = runs.get(change.n);
  const run = known ?? makeRun(change.n, change.set.run);
  const before = run.facts.status;
  if (stale.delete(change.n)) {
    run.facts = {};
    for (const block of run.blocks.values()) Object.assign(block, { facts: {}, text: "", skipped: 0, replaced: true });
    change.order = (change.blocks ?? []).map((block) => block.id);
  }
  Object.assign(run.facts, change.set);
  for (const block of change.blocks ?? []) changeBlock(run, block);
  if (change.order) keepBlocks(run, change.order);
  place(run, run.facts.ended ? "ended" : "open");
  if (!known) {
    runs.set(change.n, run);
    watch(run);
  }
  if (!known || before !== run.facts.status) find(run);
  if (known && before !== run.facts.status) announce(`${run.facts.run} is ${run.facts.status.replaceAll("_", " ")}`);
  drawLater(run);
}

startDrawing((run) => {
  drawCard(run, serverTime());
  find(run);
}, (drawn) => {
  scrollToEnds(drawn);
  showFound();
});

function showPage() {
  for (const place of document.querySelectorAll("[data-count]")) {
    const count = page[place.dataset.count] ?? 0;
    write(place, count.toLocaleString("en"));
    place.parentElement.classList.toggle("some", count > 0 && "alarm" in place.dataset);
  }
  byId("counts").hidden = false;
  byId("over").hidden = page.ended == null;
  byId("empty").hidden = runs.size > 0 || page.ended != null;
  write(byId("hidden"), page.hidden ? `${page.hidden} more open runs are not shown.` : "");
  showFound();
  showModels(page.models);
  showSources(page.sources ?? "");
  document.title = page.open ? `${page.open} open · runstream` : "runstream";
}

let sources = "";

function showSources(text) {
  if (text === sources) return;
  sources = text;
  byId("sources").hidden = text === "";
  byId("sources").querySelector("ul").replaceChildren(...(text ? text.split("\n") : []).map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
}

// What changes is announced to screen readers, but not each word, and not everything at once.
const news = [];

function announce(text) {
  news.push(text);
  if (news.length === 1) setTimeout(publish, NEWS_PAUSE);
}

function publish() {
  const texts = news.splice(0);
  const more = texts.length > 3 ? `, and ${texts.length - 3} more runs changed` : "";
  byId("news").textContent = texts.slice(0, 3).join(", ") + more;
}

setInterval(() => {
  const now = serverTime();
  for (const run of runsNear()) if (!run.facts.ended && !stale.has(run.number)) drawTime(run, now);
}, 1000);

// The socket

let socket = null;
let attempt = 0;
let timer = 0;
let silence = 0;

function say(state, text) {
  connection.dataset.state = state;
  if (connection.textContent !== text) connection.textContent = text;
  retry.hidden = state !== "lost";
}

function connect() {
  clearTimeout(timer);
  const url = new URL("socket", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  const mine = socket = new WebSocket(url);
  listen(mine);
  mine.onmessage = (message) => {
    if (mine !== socket) return;
    attempt = 0;
    listen(mine);
    try {
      apply(JSON.parse(message.data));
      if (page.ended == null) say("live", "Live");
      else say("over", "Stream ended");
    } catch (error) {
      console.error(error);
      feed = null; // begin anew
      mine.close();
    }
  };
  mine.onclose = () => lost(mine);
}

// A connection may end without a notice: then nothing more is received.
function listen(mine) {
  clearTimeout(silence);
  silence = setTimeout(() => {
    mine.close();
    lost(mine); // closing may take a minute, if nobody answers
  }, SILENCE);
}

function lost(mine) {
  if (mine !== socket) return;
  socket = null;
  clearTimeout(silence);
  say("lost", "Reconnecting…");
  const delay = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** attempt) * (0.75 + Math.random() / 2);
  attempt += 1;
  timer = setTimeout(connect, delay);
}

function now() {
  if (socket === null) connect();
}

retry.addEventListener("click", now);
window.addEventListener("online", now);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") now();
});
startFinding(runs, announce);
connect();
