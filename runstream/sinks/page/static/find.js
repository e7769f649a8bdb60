// Which runs are shown: search, status, a link to one run, and the keys of the page.

const byId = (id) => document.getElementById(id);
const query = byId("query");
const status = byId("status");
const WAIT = 150; // milliseconds without a key until the search begins

let runs = new Map();
let announce = () => {};
let words = [];
let only = ""; // the id of the run that the address names
let timer = 0;

export function startFinding(shown, say) {
  runs = shown;
  announce = say;
  query.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(findAll, WAIT);
  });
  status.addEventListener("change", findAll);
  byId("find").addEventListener("submit", (event) => event.preventDefault());
  byId("all").addEventListener("click", showAll);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  addEventListener("hashchange", readAddress);
  document.addEventListener("keydown", onKey);
  readAddress();
}

// Shows or hides a run that is new or has changed.
export function find(run) {
  if (![...status.options].some((option) => option.value === run.facts.status)) {
    status.add(new Option(run.facts.status.replaceAll("_", " "), run.facts.status));
  }
  run.card.hidden = !matches(run);
}

export function showFound() {
  const filtered = words.length > 0 || status.value !== "" || only !== "";
  let count = 0;
  if (filtered) for (const run of runs.values()) count += run.card.hidden ? 0 : 1;
  byId("found").hidden = byId("all").hidden = !filtered;
  byId("found").textContent = filtered ? `${count} of ${runs.size} runs` : "";
}

function findAll() {
  words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const run of runs.values()) run.card.hidden = !matches(run);
  showFound();
}

function matches(run) {
  const { facts } = run;
  if (only !== "" && facts.run !== only) return false;
  if (status.value !== "" && facts.status !== status.value) return false;
  if (words.length === 0) return true;
  const names = [facts.run, facts.scope, facts.thread, facts.assistant, facts.model, facts.metadata, facts.status, facts.error]
    .filter(Boolean).join("\n").toLowerCase();
  return words.every((word) => names.includes(word) || hasText(run, word));
}

function hasText(run, word) {
  for (const block of run.blocks.values()) {
    if (block.node.data.toLowerCase().includes(word) || block.label.textContent.toLowerCase().includes(word)) return true;
  }
  return false;
}

function showAll() {
  query.value = "";
  status.value = "";
  if (only !== "") history.pushState(null, "", location.pathname + location.search);
  only = "";
  findAll();
}

function readAddress() {
  const found = /^#run=(.*)$/.exec(location.hash);
  try {
    only = found ? decodeURIComponent(found[1]) : "";
  } catch {
    only = ""; // the address is not well formed
  }
  findAll();
}

export const addressOf = (id) => `#run=${encodeURIComponent(id)}`;

export async function copyId(run) {
  try {
    await navigator.clipboard.writeText(run.facts.run);
    announce(`${run.facts.run} is copied`);
  } catch {
    announce("The browser does not allow to copy");
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  const writes = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape") {
    showAll();
    event.target.blur?.();
  } else if (!writes) {
    const action = { "/": () => query.focus(), "?": () => byId("keys").showModal(), j: () => move(1), k: () => move(-1) }[event.key];
    const run = focusedRun();
    if (action) action();
    else if (run && event.key === "c") copyId(run);
    else if (run && event.key === "Enter" && event.target === run.card) location.hash = addressOf(run.facts.run);
    else return;
    event.preventDefault();
  }
}

function focusedRun() {
  const card = document.activeElement?.closest?.("article");
  return card ? runs.get(Number(card.dataset.number)) : undefined;
}

function move(step) {
  const cards = [...document.querySelectorAll("article:not([hidden])")];
  const from = cards.indexOf(document.activeElement?.closest?.("article"));
  const to = cards[from < 0 ? (step > 0 ? 0 : cards.length - 1) : from + step];
  to?.focus();
  to?.scrollIntoView({ block: "nearest" });
}
