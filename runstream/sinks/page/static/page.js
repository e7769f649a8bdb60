// Shows the frames of a feed (described in diff.py). The content of a run goes into the page as text, never as markup:
// there is no innerHTML here, and the page's Content-Security-Policy would refuse it.

import { addressOf, copyId, find, showFound, startFinding } from "./find.js";
import { addLines, clearLog, showModels } from "./log.js";

const FIRST_DELAY = 500; // milliseconds before the first attempt to connect again; doubled with each
const LAST_DELAY = 10_000;
const SILENCE = 40_000; // the server speaks every 15 s, whatever happens
const NEWS_PAUSE = 2_000; // between two announcements to screen readers

const byId = (id) => document.getElementById(id);
const connection = byId("connection");
const retry = byId("retry");
const lists = { open: byId("open").querySelector(".cards"), ended: byId("ended").querySelector(".cards") };

const runs = new Map(); // by number
let page = {}; // facts of the whole page
let stale = new Set(); // numbers from before a new connection, until it tells of them again
let feed = null;
let clockOffset = 0; // seconds that the server's clock is ahead of ours

function make(tag, className, parent) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (parent) parent.append(element);
  return element;
}

function write(element, text) {
  const shown = text ?? "";
  if (element.textContent !== shown) element.textContent = shown;
  element.hidden = shown === "";
}

// Runs

function makeRun(number) {
  const card = make("article");
  card.tabIndex = -1;
  const head = make("div", "head", card);
  const title = make("h3", "", head);
  const link = make("a", "", title);
  title.id = `run-${number}`;
  const copy = make("button", "copy", head);
  copy.type = "button";
  copy.textContent = "Copy id";
  card.setAttribute("aria-labelledby", title.id);
  const status = make("p", "status", head);
  const facts = make("dl", "facts", card);
  const fact = (name) => {
    const row = make("div", "", facts);
    make("dt", name === "time" ? "unseen" : "", row).textContent = name;
    return make("dd", "", row);
  };
  const run = {
    number, card, link, copy, status, facts: {}, blocks: new Map(), pinned: true, list: null,
    time: fact("time"), started: fact("started"), tokens: fact("tokens"), model: fact("model"), agent: fact("agent"),
    thread: fact("thread"), metadata: fact("metadata"), timeline: makeTimeline(card),
    step: make("p", "step", card), note: make("p", "note", card), error: make("p", "error", card),
    left: make("p", "label", card), box: make("div", "blocks", card),
  };
  copy.addEventListener("click", () => copyId(run));
  run.box.tabIndex = 0;
  run.box.setAttribute("role", "group");
  run.box.addEventListener("scroll", () => {
    run.pinned = run.box.scrollHeight - run.box.scrollTop - run.box.clientHeight < 24;
  }, { passive: true });
  runs.set(number, run);
  return run;
}

// The parts of a run's time as a bar: queued, running, waiting for action.
const PARTS = ["queued", "running", "waiting"];

function makeTimeline(card) {
  const bar = make("div", "timeline", card);
  bar.setAttribute("role", "img");
  for (const part of PARTS) make("span", part, bar);
  return bar;
}

function showTimeline(run) {
  const { facts, timeline } = run;
  const seconds = Object.fromEntries(PARTS.map((part) => [part, facts[part] ?? 0]));
  const known = PARTS.reduce((sum, part) => sum + seconds[part], 0);
  if (!facts.ended) { // the part that goes on
    const now = { queued: "queued", requires_action: "waiting" }[facts.status] ?? "running";
    seconds[now] += Math.max(0, (page.ended ?? Date.now() / 1000 + clockOffset) - facts.began - known);
  }
  const shown = PARTS.filter((part) => seconds[part] > 0);
  timeline.hidden = shown.length === 0;
  for (const [place, part] of PARTS.entries()) {
    timeline.children[place].hidden = !shown.includes(part);
    timeline.children[place].style.flexGrow = seconds[part] * 1000; // a sum below 1 would not fill the bar
  }
  const text = shown.map((part) => `${part} ${duration(seconds[part], true)}`).join(", ");
  timeline.setAttribute("aria-label", text);
  timeline.title = text;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function dropRun(number) {
  runs.get(number)?.card.remove();
  runs.delete(number);
  stale.delete(number);
}

function showRun(run) {
  const { facts } = run;
  const name = facts.scope ? `${facts.scope} / ${facts.run}` : facts.run;
  write(run.link, name);
  run.link.href = addressOf(facts.run);
  run.copy.setAttribute("aria-label", `Copy id ${facts.run}`);
  write(run.status, facts.status.replaceAll("_", " "));
  run.card.dataset.tone = facts.tone;
  run.card.toggleAttribute("data-live", !facts.ended && facts.tone === "" && !facts.note);
  run.box.setAttribute("aria-label", `What ${name} said and called`);
  showTokens(run);
  showFact(run.model, facts.model);
  showFact(run.agent, facts.assistant);
  showFact(run.metadata, facts.metadata);
  showFact(run.started, facts.began == null ? "" : clock.format(facts.began * 1000));
  showFact(run.thread, facts.thread);
  write(run.step, facts.step);
  write(run.note, facts.note);
  write(run.error, facts.error);
  write(run.left, facts.left_out ? `${facts.left_out} earlier texts are not shown` : "");
  showTime(run);
  place(run, facts.ended ? "ended" : "open");
}

function showFact(element, text) {
  write(element, text);
  element.parentElement.hidden = element.hidden;
}

function showTokens(run) {
  const { total_tokens: total, prompt_tokens: sent, completion_tokens: got } = run.facts;
  const parts = sent == null || got == null ? "" : ` (${sent} in, ${got} out)`;
  showFact(run.tokens, total == null ? "" : `${total}${parts}`);
}

function showTime(run) {
  const { ended, took, began } = run.facts;
  const now = page.ended ?? Date.now() / 1000 + clockOffset;
  const seconds = ended ? took : Math.max(0, now - began);
  showFact(run.time, seconds == null ? "" : duration(seconds, ended));
  showTimeline(run);
}

function duration(seconds, exact) {
  const whole = Math.floor(seconds);
  if (whole < 60) return exact ? `${seconds.toFixed(1)} s` : `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
}

// Open runs stand in order of appearance, ended ones the latest first.
function place(run, list) {
  if (run.list === list) return;
  run.list = list;
  const focused = run.card.contains(document.activeElement) ? document.activeElement : null;
  const before = list === "ended"
    ? lists.ended.firstChild
    : openCardAfter(run.number);
  run.card.dataset.number = run.number;
  const top = run.box.scrollTop;
  byId(list).hidden = false; // what is hidden can't be scrolled
  lists[list].insertBefore(run.card, before);
  run.box.scrollTop = top; // moving takes it away, and the focus
  focused?.focus({ preventScroll: true });
  scrollSoon(run);
}

function openCardAfter(number) {
  const last = lists.open.lastChild;
  if (last === null || Number(last.dataset.number) < number) return null; // the usual case, for any number of runs
  return [...lists.open.children].find((card) => Number(card.dataset.number) > number) ?? null;
}

// Blocks: documents, activities, messages, refusals, reasoning, tool calls

function makeBlock(run) {
  const element = make("div", "block", run.box);
  const label = make("p", "label", element);
  const text = make("p", "text", element);
  const output = make("p", "output", element);
  output.hidden = true;
  return { element, label, text, output, node: text.appendChild(document.createTextNode("")), facts: {}, skipped: 0 };
}

function applyBlock(run, change) {
  let block = run.blocks.get(change.id);
  if (!block) run.blocks.set(change.id, block = makeBlock(run));
  Object.assign(block.facts, change.set);
  if ("at" in change) {
    if (change.at === block.node.length) block.node.appendData(change.add);
    else if (change.at === 0) block.node.data = change.add;
    else throw new Error("a piece of text is missing");
  }
  block.skipped = change.skipped ?? block.skipped;
  const { kind, role, name, status, citations, images, output, output_size: size, summary } = block.facts;
  const { path, bytes, version, partial } = block.facts;
  block.element.className = `block ${kind}`;
  const names = {
    call: name, refusal: "refuses", reasoning: summary ? "reasoning, summary" : "reasoning",
    document: "document", activity: name || "activity",
  };
  const parts = [names[kind] ?? role ?? "message"];
  if (path) parts.unshift(path);
  if (version > 1) parts.push(`version ${version}`);
  if (bytes != null) parts.push(`${bytes} ${bytes === 1 ? "byte" : "bytes"}`);
  if (partial) parts.push("a change is missing");
  if (status && status !== "completed") parts.push(status.replaceAll("_", " "));
  if (citations) parts.push(`${citations} ${citations === 1 ? "citation" : "citations"}`);
  if (size != null) parts.push(`result of ${size} ${size === 1 ? "character" : "characters"}`);
  if (images) parts.push(`${images} ${images === 1 ? "image" : "images"}`);
  if (block.skipped) parts.push(`the first ${block.skipped} characters are not shown`);
  write(block.label, parts.join(" · "));
  write(block.output, output == null ? "" : `→ ${output}`);
  block.text.hidden = block.node.length === 0;
}

function keepBlocks(run, ids) {
  const kept = new Map(ids.map((id) => [id, run.blocks.get(id)]));
  run.blocks = kept;
  const top = run.box.scrollTop;
  run.box.replaceChildren(...[...kept.values()].map((block) => block.element));
  run.box.scrollTop = top;
}

// Scrolls to the end of what grows, unless somebody has scrolled up to read.
const scrolling = new Set();

function scrollSoon(run) {
  if (scrolling.size === 0) {
    requestAnimationFrame(() => {
      for (const one of scrolling) if (one.pinned) one.box.scrollTop = one.box.scrollHeight;
      scrolling.clear();
    });
  }
  scrolling.add(run);
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
  if (over) for (const run of runs.values()) showTime(run);
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
  const run = known ?? makeRun(change.n);
  const before = run.facts.status;
  if (stale.delete(change.n)) {
    run.facts = {};
    for (const block of run.blocks.values()) Object.assign(block, { facts: {}, skipped: 0 }).node.data = "";
    change.order = (change.blocks ?? []).map((block) => block.id);
  }
  Object.assign(run.facts, change.set);
  for (const block of change.blocks ?? []) applyBlock(run, block);
  if (change.order) keepBlocks(run, change.order);
  if (change.blocks || change.order) scrollSoon(run);
  run.box.hidden = run.blocks.size === 0;
  showRun(run);
  find(run);
  if (known && before !== run.facts.status) announce(`${run.facts.run} is ${run.status.textContent}`);
}

function showPage() {
  for (const place of document.querySelectorAll("[data-count]")) {
    const count = page[place.dataset.count] ?? 0;
    place.textContent = count.toLocaleString("en");
    place.parentElement.classList.toggle("some", count > 0 && "alarm" in place.dataset);
  }
  byId("counts").hidden = false;
  byId("over").hidden = page.ended == null;
  byId("empty").hidden = runs.size > 0 || page.ended != null;
  write(byId("hidden"), page.hidden ? `${page.hidden} more open runs are not shown.` : "");
  for (const list of ["open", "ended"]) byId(list).hidden = lists[list].childElementCount === 0;
  showFound();
  showModels(page.models);
  const sources = page.sources ? page.sources.split("\n") : [];
  byId("sources").hidden = sources.length === 0;
  byId("sources").querySelector("ul").replaceChildren(...sources.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  document.title = page.open ? `${page.open} open · runstream` : "runstream";
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
  for (const run of runs.values()) if (!run.facts.ended && !stale.has(run.number)) showTime(run);
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

// A connection that died without a word is told by its silence.
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
