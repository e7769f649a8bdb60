// The card of a run: what the feed has of it (`facts`, and `blocks` of text) as elements. Content is written as text,
// never as markup: there is no innerHTML, and the page's Content-Security-Policy would refuse it.

import { isNear } from "./drawing.js";
import { addressOf, copyId } from "./find.js";

export function make(tag, className, parent) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (parent) parent.append(element);
  return element;
}

export function write(element, text) {
  const shown = text ?? "";
  if (element.textContent !== shown) element.textContent = shown;
  element.hidden = shown === "";
}

// A run as it is known: data, and a card that has only a title until it is drawn.
export function makeRun(number, id) {
  const card = make("article");
  card.tabIndex = -1;
  card.dataset.number = number;
  const title = make("h3", "", make("div", "head", card));
  title.id = `run-${number}`;
  card.setAttribute("aria-labelledby", title.id);
  const link = make("a", "", title);
  link.textContent = id;
  link.href = addressOf(id);
  return {
    number, card, link, facts: {}, blocks: new Map(), changed: new Set(), reordered: false,
    pinned: true, top: 0, list: null, parts: null,
  };
}

function makeParts(run) {
  const { card, link } = run;
  const head = link.parentElement.parentElement;
  const copy = make("button", "copy", head);
  copy.type = "button";
  copy.textContent = "Copy id";
  copy.addEventListener("click", () => copyId(run));
  const status = make("p", "status", head);
  const facts = make("dl", "facts", card);
  const fact = (name) => {
    const row = make("div", "", facts);
    make("dt", name === "time" ? "unseen" : "", row).textContent = name;
    return make("dd", "", row);
  };
  const parts = {
    copy, status, time: fact("time"), started: fact("started"), tokens: fact("tokens"), model: fact("model"),
    agent: fact("agent"), thread: fact("thread"), metadata: fact("metadata"), timeline: makeTimeline(card),
    step: make("p", "step", card), note: make("p", "note", card), error: make("p", "error", card),
    left: make("p", "label", card), box: make("div", "blocks", card),
  };
  parts.box.tabIndex = 0;
  parts.box.setAttribute("role", "group");
  parts.box.addEventListener("scroll", () => {
    run.top = parts.box.scrollTop;
    run.pinned = parts.box.scrollHeight - run.top - parts.box.clientHeight < 24;
  }, { passive: true });
  return parts;
}

// Draws the card of a run as its facts and blocks are now.
export function drawCard(run, now) {
  const parts = run.parts ??= makeParts(run);
  const { facts } = run;
  const name = facts.scope ? `${facts.scope} / ${facts.run}` : facts.run;
  write(run.link, name);
  parts.copy.setAttribute("aria-label", `Copy id ${facts.run}`);
  write(parts.status, facts.status.replaceAll("_", " "));
  run.card.dataset.tone = facts.tone;
  run.card.toggleAttribute("data-live", !facts.ended && facts.tone === "" && !facts.note);
  parts.box.setAttribute("aria-label", `What ${name} said and called`);
  writeFact(parts.tokens, tokens(facts));
  writeFact(parts.model, facts.model);
  writeFact(parts.agent, facts.assistant);
  writeFact(parts.metadata, facts.metadata);
  writeFact(parts.started, facts.began == null ? "" : clock.format(facts.began * 1000));
  writeFact(parts.thread, facts.thread);
  write(parts.step, facts.step);
  write(parts.note, facts.note);
  write(parts.error, facts.error);
  write(parts.left, facts.left_out ? `${facts.left_out} earlier texts are not shown` : "");
  drawTime(run, now);
  drawBlocks(run);
}

function writeFact(element, text) {
  write(element, text);
  element.parentElement.hidden = element.hidden;
}

function tokens({ total_tokens: total, prompt_tokens: sent, completion_tokens: got }) {
  const [all, ...both] = [total, sent, got].map((count) => count?.toLocaleString("en"));
  const parts = sent == null || got == null ? "" : ` (${both[0]} in, ${both[1]} out)`;
  return total == null ? "" : `${all}${parts}`;
}

// Time

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// The parts of a run's time as a bar: queued, running, waiting for action.
const PARTS = ["queued", "running", "waiting"];

function makeTimeline(card) {
  const bar = make("div", "timeline", card);
  bar.setAttribute("role", "img");
  for (const part of PARTS) make("span", part, bar);
  return bar;
}

export function drawTime(run, now) {
  if (!run.parts) return;
  const { ended, took, began } = run.facts;
  const seconds = ended ? took : Math.max(0, now - began);
  writeFact(run.parts.time, seconds == null ? "" : duration(seconds, ended));
  drawTimeline(run, now);
}

function drawTimeline({ facts, parts: { timeline } }, now) {
  const seconds = Object.fromEntries(PARTS.map((part) => [part, facts[part] ?? 0]));
  const known = PARTS.reduce((sum, part) => sum + seconds[part], 0);
  if (!facts.ended) { // the part that goes on
    const present = { queued: "queued", requires_action: "waiting" }[facts.status] ?? "running";
    seconds[present] += Math.max(0, now - facts.began - known);
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

function duration(seconds, exact) {
  const whole = Math.floor(seconds);
  if (whole < 60) return exact ? `${seconds.toFixed(1)} s` : `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
}

// Blocks: documents, activities, messages, refusals, reasoning, tool calls

export function changeBlock(run, change) {
  let block = run.blocks.get(change.id);
  if (!block) run.blocks.set(change.id, block = { facts: {}, text: "", skipped: 0, replaced: false, view: null });
  Object.assign(block.facts, change.set);
  if ("at" in change) {
    if (change.at === block.text.length) block.text += change.add;
    else if (change.at === 0) [block.text, block.replaced] = [change.add, true];
    else throw new Error("a piece of text is missing");
  }
  block.skipped = change.skipped ?? block.skipped;
  run.changed.add(block);
}

export function keepBlocks(run, ids) {
  run.blocks = new Map(ids.map((id) => [id, run.blocks.get(id)]));
  run.reordered = true;
}

function drawBlocks(run) {
  const { box } = run.parts;
  for (const block of run.changed) drawBlock(run, block);
  run.changed.clear();
  if (run.reordered) {
    run.reordered = false;
    const wanted = [...run.blocks.values()].map((block) => (block.view ??= makeView(run)).element);
    if (wanted.length !== box.childElementCount || wanted.some((element, place) => element !== box.children[place])) {
      box.replaceChildren(...wanted);
      if (run.top > 0) box.scrollTop = run.top;
    }
  }
  box.hidden = run.blocks.size === 0;
}

function makeView(run) {
  const element = make("div", "block", run.parts.box);
  const label = make("p", "label", element);
  const text = make("p", "text", element);
  const output = make("p", "output", element);
  output.hidden = true;
  return { element, label, text, output, node: text.appendChild(document.createTextNode("")) };
}

function drawBlock(run, block) {
  const { element, label, text, output, node } = block.view ??= makeView(run);
  if (block.replaced) {
    block.replaced = false;
    if (node.data !== block.text) node.data = block.text;
  } else if (node.length < block.text.length) node.appendData(block.text.slice(node.length));
  element.className = `block ${block.facts.kind}`;
  write(label, labelOf(block));
  write(output, block.facts.output == null ? "" : `→ ${block.facts.output}`);
  text.hidden = block.text === "";
}

export function labelOf({ facts, skipped }) {
  const { kind, role, name, status, citations, images, output_size: size, summary, path, bytes, version, partial } = facts;
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
  if (skipped) parts.push(`the first ${skipped} characters are not shown`);
  return parts.join(" · ");
}

// Scrolls to the end of what grows, unless somebody has scrolled up to read. Called once for all runs that were drawn:
// each size that is read after a change costs a layout, so all changes come first.
export function scrollToEnds(runs) {
  const boxes = [];
  for (const run of runs) {
    if (run.pinned && isNear(run) && !run.card.hidden) boxes.push(run.parts.box);
  }
  const heights = boxes.map((box) => box.scrollHeight);
  for (const [place, box] of boxes.entries()) box.scrollTop = heights[place];
}
