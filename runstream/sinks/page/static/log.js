// The log of the page: signals, and among them the rejects and reconnects. Lines are text, never markup.

import { addressOf } from "./find.js";

const byId = (id) => document.getElementById(id);
const LINES = 300; // as many as the server has
const PROBLEMS = new Set([
  "rejected", "source.disconnected", "source.resumed", "source.error", "run.interrupted", "run.stalled",
]);
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// Lines become elements when a list is open, and once for each repaint.
const logs = ["problems", "signals"].map((id) => ({ details: byId(id), lines: [], written: 0, added: 0, due: 0 }));
for (const log of logs) log.details.addEventListener("toggle", () => writeLater(log));

export function clearLog() {
  for (const log of logs) {
    Object.assign(log, { lines: [], written: 0, added: 0 });
    log.details.querySelector("ol").replaceChildren();
    log.details.hidden = true;
  }
}

export function addLines(entries) {
  const [problems, signals] = logs;
  keep(signals, entries);
  keep(problems, entries.filter((entry) => PROBLEMS.has(entry.kind)));
}

function keep(log, entries) {
  if (entries.length === 0) return;
  log.added += entries.length;
  log.lines = [...log.lines, ...entries].slice(-LINES);
  log.details.hidden = false;
  writeLater(log);
}

function writeLater(log) {
  if (!log.details.open) return;
  log.due ||= requestAnimationFrame(() => {
    log.due = 0;
    const missing = Math.min(log.added - log.written, log.lines.length);
    log.written = log.added;
    const list = log.details.querySelector("ol");
    if (missing > 0) list.prepend(...log.lines.slice(-missing).reverse().map(makeLine));
    while (list.childElementCount > LINES) list.lastChild.remove();
  });
}

function makeLine({ at, kind, run, text }) {
  const line = document.createElement("li");
  const when = document.createElement("time");
  when.dateTime = new Date(at * 1000).toISOString();
  when.textContent = time.format(at * 1000);
  const name = document.createElement("span");
  name.className = "kind";
  name.textContent = kind;
  line.append(when, " ", name, " ");
  if (run) {
    const link = document.createElement("a");
    link.href = addressOf(run);
    link.textContent = run;
    line.append(link, " ");
  }
  line.append(text);
  return line;
}

// Totals by model: lines of a model, its runs, failures and tokens, separated by tabs.
let models = "";

export function showModels(text = "") {
  if (text === models) return;
  models = text;
  const rows = text ? text.split("\n").map((line) => line.split("\t")) : [];
  byId("models").hidden = rows.length === 0;
  byId("models").querySelector("tbody").replaceChildren(...rows.map(([model, ...counts]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = model;
    row.append(head, ...counts.map((count) => {
      const cell = document.createElement("td");
      cell.textContent = Number(count).toLocaleString("en");
      return cell;
    }));
    return row;
  }));
}
