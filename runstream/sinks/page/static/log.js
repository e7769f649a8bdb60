// The log of the page: signals, and among them the rejects and reconnects. Lines are text, never markup.

import { addressOf } from "./find.js";

const byId = (id) => document.getElementById(id);
const LINES = 300; // as many as the server has
const PROBLEMS = new Set([
  "rejected", "source.disconnected", "source.resumed", "source.error", "run.interrupted", "run.stalled",
]);
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function clearLog() {
  for (const id of ["problems", "signals"]) byId(id).querySelector("ol").replaceChildren();
}

export function addLines(entries) {
  const lists = new Map([["signals", []], ["problems", []]]);
  for (const entry of entries) {
    lists.get("signals").push(makeLine(entry));
    if (PROBLEMS.has(entry.kind)) lists.get("problems").push(makeLine(entry));
  }
  for (const [id, lines] of lists) {
    const list = byId(id).querySelector("ol");
    list.prepend(...lines.reverse());
    while (list.childElementCount > LINES) list.lastChild.remove();
    byId(id).hidden = list.childElementCount === 0;
  }
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
export function showModels(text) {
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
