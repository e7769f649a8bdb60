// OpenAI's client for Node against a server: a run of each API whose two calls are answered, a stream without answers,
// and a refusal. It prints one JSON object a line. Usage: node openai_client.mjs BASE_URL
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "key", maxRetries: 0 });
const tool = { type: "function", name: "double", parameters: { type: "object", properties: {} } };
const print = (name, value) => process.stdout.write(JSON.stringify({ name, ...value }) + "\n");
const double = (text) => String(2 * JSON.parse(text).number);

// Responses: two calls, their outputs in a second response.
const first = client.responses.stream({ model: "any", input: "Hello", tools: [tool] });
const types = [];
for await (const event of first) types.push(event.type);
const asked = await first.finalResponse();
const calls = asked.output.filter((item) => item.type === "function_call");
const input = calls.map((call) => ({
  type: "function_call_output",
  call_id: call.call_id,
  output: double(call.arguments),
}));
const second = client.responses.stream({ model: "any", input, previous_response_id: asked.id });
const answered = await second.finalResponse();
print("responses", {
  calls: calls.map((call) => [call.name, call.arguments]),
  types: [...new Set(types)],
  status: answered.status,
  text: answered.output_text,
  retrieved: (await client.responses.retrieve(answered.id)).output_text,
});

// Responses, without a stream.
const plain = await client.responses.create({ model: "any", input: "Hello", store: false });
print("plain", { status: plain.status, calls: plain.output.length });

// Assistants, where the package still has them.
if (client.beta.threads?.runs?.stream) {
  const thread = await client.beta.threads.create();
  const stream = client.beta.threads.runs.stream(thread.id, { assistant_id: "asst_1" });
  let text = "";
  stream.on("textDelta", (delta) => (text += delta.value ?? ""));
  const run = await stream.finalRun();
  const waiting = run.required_action.submit_tool_outputs.tool_calls;
  const outputs = waiting.map((call) => ({ tool_call_id: call.id, output: double(call.function.arguments) }));
  const going = client.beta.threads.runs.submitToolOutputsStream(run.id, {
    thread_id: thread.id,
    tool_outputs: outputs,
  });
  going.on("textDelta", (delta) => (text += delta.value ?? ""));
  const done = await going.finalRun();
  const messages = await client.beta.threads.messages.list(thread.id, { order: "asc" });
  print("assistants", {
    asked: run.status,
    status: done.status,
    text,
    listed: messages.data.map((message) => message.content[0].text.value).join(""),
  });
} else {
  print("assistants", { missing: true });
}

try {
  await client.responses.create({ model: "any", input: "Hello", previous_response_id: "resp_none" });
} catch (error) {
  print("refused", { kind: error.constructor.name, status: error.status });
}
