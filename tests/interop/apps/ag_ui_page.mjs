// A front end on the official AG-UI client: it shows messages, reasoning and calls, executes one tool of its own, and
// asks its user about interrupts. esbuild bundles it with the client.
import { HttpAgent } from "@ag-ui/client";

const TOOLS = [
  {
    name: "show_on_map",
    description: "Shows harbours on the user's map.",
    parameters: {
      type: "object",
      properties: { harbours: { type: "array", items: { type: "string" } } },
      required: ["harbours"],
    },
  },
];
const PLACES = { Oslo: [38, 22], Heron: [66, 58], Kiel: [42, 84] };

const agent = new HttpAgent({ url: "agent", threadId: "thread-1" });
const $ = (id) => document.getElementById(id);

function element(className, text, parent) {
  const found = document.createElement("div");
  found.className = className;
  found.textContent = text;
  parent?.append(found);
  return found;
}

function showCall(call, results) {
  const box = element("call", "");
  const code = document.createElement("code");
  code.textContent = `${call.function.name}(${call.function.arguments})`;
  box.append(code);
  const result = results.get(call.id);
  if (result !== undefined) element("result", `→ ${result}`, box);
  return box;
}

function render(messages) {
  const results = new Map(messages.filter((m) => m.role === "tool").map((m) => [m.toolCallId, m.content]));
  const nodes = [];
  for (const message of messages) {
    if (message.role === "reasoning" || message.role === "user" || message.content) {
      if (message.role !== "tool") nodes.push(element(`message ${message.role}`, message.content ?? ""));
    }
    for (const call of message.toolCalls ?? []) nodes.push(showCall(call, results));
  }
  $("messages").replaceChildren(...nodes);
}

function status(state, text = "") {
  $("status").dataset.state = state;
  $("status").textContent = text;
}

const tools = {
  show_on_map({ harbours }) {
    for (const name of harbours) {
      const [left, top] = PLACES[name] ?? [50, 50];
      const pin = element("pin", name, $("map"));
      pin.style.left = `${left}%`;
      pin.style.top = `${top}%`;
    }
    return `shown: ${harbours.join(", ")}`;
  },
};

function findCall(id) {
  return agent.messages.flatMap((message) => message.toolCalls ?? []).find((call) => call.id === id);
}

async function run(parameters = {}) {
  status("running", "…");
  let pending = [];
  let failed;
  await agent
    .runAgent(
      { tools: TOOLS, ...parameters },
      {
        onMessagesChanged: ({ messages }) => render(messages),
        onRunFinishedEvent: (finish) => {
          pending = finish.pendingToolCallIds ?? [];
        },
        onRunErrorEvent: ({ event }) => {
          failed = `${event.message} (${event.code})`;
        },
      },
    )
    .catch((error) => {
      failed ??= String(error);
    });
  render(agent.messages);
  if (failed !== undefined) return status("failed", failed);
  if (agent.pendingInterrupts.length) return ask(agent.pendingInterrupts);
  if (pending.length === 0) return status("ready");
  for (const id of pending) {
    const { name, arguments: text } = findCall(id).function;
    const content = tools[name](JSON.parse(text));
    agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: id, content });
  }
  return run();
}

function ask(interrupts) {
  status("asking");
  for (const interrupt of interrupts) {
    const box = element("question", "", $("messages"));
    const text = document.createElement("p");
    text.textContent = interrupt.message;
    box.append(text);
    for (const [label, approved] of [["Approve", true], ["Decline", false]]) {
      const button = document.createElement("button");
      button.textContent = label;
      button.className = approved ? "primary" : "";
      button.addEventListener("click", () => {
        run({ resume: interrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload: { approved } })) });
      });
      box.append(button, " ");
    }
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = $("text").value.trim();
  if (!content || $("status").dataset.state === "running") return;
  $("text").value = "";
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
  render(agent.messages);
  run();
});
