// The readers of the npm package `ai`: they read UI message streams, and print one JSON object a stream.
// Usage: node ui_message_stream.mjs STREAMS.jsonl; each line has `package` (an alias, such as ai6), `name`, `body` (the
// bytes of a response) and, where the stream continues a message, `message`. It stands beside node_modules.
import { createInterface } from "node:readline";
import { createReadStream } from "node:fs";

const packages = {};
for (const name of ["ai5", "ai6", "ai7"]) packages[name] = await import(name);

function transport(ai, body) {
  const headers = { "content-type": "text/event-stream", "x-vercel-ai-ui-message-stream": "v1" };
  return new ai.DefaultChatTransport({ api: "http://app.example/chat", fetch: async () => new Response(body, { headers }) });
}

// The reader by itself: it goes on behind an error.
async function read(ai, body, message) {
  const found = { errors: [], message: message ?? null };
  const stream = await transport(ai, body).sendMessages({ chatId: "chat", messages: [], trigger: "submit-message" });
  const messages = ai.readUIMessageStream({
    stream,
    message: structuredClone(message),
    onError: (error) => found.errors.push(`${error.name}: ${error.message}`.slice(0, 300)),
  });
  for await (const each of messages) found.message = each;
  return found;
}

// The chat behind `useChat`, without a page.
async function chat(ai, body, message) {
  const user = { id: "user-1", role: "user", parts: [{ type: "text", text: "Hello." }] };
  const calls = [];
  const data = [];
  const state = {
    status: "ready",
    error: undefined,
    messages: message === undefined ? [] : [user, structuredClone(message)],
    pushMessage: (one) => { state.messages = [...state.messages, one]; },
    popMessage: () => { state.messages = state.messages.slice(0, -1); },
    replaceMessage: (at, one) => { state.messages = state.messages.with(at, one); },
    snapshot: (one) => structuredClone(one),
  };
  let finish = {};
  class Chat extends ai.AbstractChat {}
  const made = new Chat({
    id: "chat",
    state,
    transport: transport(ai, body),
    onFinish: (found) => { finish = found; },
    onToolCall: ({ toolCall }) => { calls.push(toolCall.toolCallId); },
    onData: (part) => { data.push(part.type); },
  });
  if (message === undefined) await made.sendMessage({ text: "Hello." });
  else await made.sendMessage();
  return {
    status: made.status,
    error: made.error === undefined ? null : `${made.error.name}: ${made.error.message}`.slice(0, 300),
    roles: made.messages.map(({ role }) => role),
    message: made.messages.at(-1),
    finishReason: finish.finishReason ?? null,
    isAbort: finish.isAbort ?? null,
    calls,
    data,
    sendsOutputs: ai.lastAssistantMessageIsCompleteWithToolCalls({ messages: made.messages }),
    sendsApprovals: ai.lastAssistantMessageIsCompleteWithApprovalResponses?.({ messages: made.messages }) ?? false,
  };
}

for await (const line of createInterface({ input: createReadStream(process.argv[2]), crlfDelay: Infinity })) {
  const { package: name, body, message } = JSON.parse(line);
  const ai = packages[name];
  const found = { reader: await read(ai, body, message), chat: await chat(ai, body, message) };
  process.stdout.write(JSON.stringify(found) + "\n");
}
