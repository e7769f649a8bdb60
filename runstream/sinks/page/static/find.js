// Which runs are shown: search, status, a link to one run, and the keys of the page.

import { labelOf } from "./cards.js";

const byId = (id) => document.getElementById(id);
const query = byId("query");
const status = byId("status");
const WAIT = 150; // milliseconds without a key until the search begins

let runs = new Map();
let announce = () => {};
let words = [];
let only = ""; // the id of the run that the address names
let timer = 0;
const shown = new Set(); // the runs that match
const statuses = new Set(); // those that the list has

export function startFinding(all, say) {
  runs = all;
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
  const { status: value } = run.facts;
  if (!statuses.has(value)) {
    statuses.add(value);
    status.add(new Option(value.replaceAll("_", " "), value));
  }
  show(run, matches(run));
}

export function forgetFound(run) {
  shown.delete(run);
}

function show(run, found) {
  if (found) shown.add(run);
  else shown.delete(run);
  if (run.card.hidden === found) run.card.hidden = !found;
}

const isFiltered = () => words.length > 0 || status.value !== "" || only !== "";

export function showFound() {
  const filtered = isFiltered();
  byId("found").hidden = byId("all").hidden = !filtered;
  const text = filtered ? `${shown.size} of ${runs.size} runs` : "";
  if (byId("found").textContent !== text) byId("found").textContent = text;
  for (const list of ["open", "ended"]) byId(list).hidden = byId(list).querySelector("article:not([hidden])") === null;
}

function findAll() {
  words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const run of runs.values()) show(run, matches(run));
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
    if (block.text.toLowerCase().includes(word) || labelOf(block).toLowerCase().includes(word)) return true;
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
