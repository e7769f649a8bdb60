// The official AG-UI client against a server: two calls of a tool of the client, an approval, a question, an end.
// It prints one JSON object a run, and at the end the messages. Usage: node ag_ui_agent_client.mjs URL
const warnings = [];
console.warn = (...values) => warnings.push(values.map(String).join(" "));
console.error = (...values) => warnings.push(values.map(String).join(" "));
const { HttpAgent } = await import("@ag-ui/client");

const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const agent = new HttpAgent({ url: process.argv[2], threadId: "thread" });
const tool = { name: "double", description: "", parameters: { type: "object", properties: {} } };
agent.messages = [{ id: "u1", role: "user", content: "Hello" }];

async function run(parameters) {
  const found = {};
  await agent.runAgent(
    { tools: [tool], ...parameters },
    {
      onRunErrorEvent: ({ event }) => (found.error = event.code),
      onRunFinishedEvent: (finish) => {
        found.outcome = finish.outcome;
        found.pending = finish.pendingToolCallIds;
      },
    },
  );
  found.interrupts = agent.pendingInterrupts.map(({ id, reason, toolCallId }) => ({ id, reason, toolCallId }));
  print(found);
  return found;
}

const first = await run({});
const calls = agent.messages.flatMap((message) => message.toolCalls ?? []);
for (const id of first.pending) {
  const call = calls.find((one) => one.id === id);
  const content = String(2 * JSON.parse(call.function.arguments).number);
  agent.addMessage({ id: `result-${id}`, role: "tool", toolCallId: id, content });
}
await run({});
const resume = (payload) => agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload }));
await run({ resume: resume({ approved: true }) });
await run({ resume: resume("Ada") });
const texts = agent.messages.filter((message) => message.role === "assistant" && message.content);
const results = agent.messages.filter((message) => message.role === "tool");
print({
  text: texts.map((message) => message.content).join(""),
  results: results.map((message) => message.content),
  warnings,
});
