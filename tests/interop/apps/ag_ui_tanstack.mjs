// TanStack AI behind AG-UI, with a scripted model. The user's words choose the scenario.
// Usage: node ag_ui_tanstack.mjs PORT [approve]; run from a folder with node_modules.
import http from "node:http";
import { chat, chatParamsFromRequestBody, toolDefinition, toServerSentEventsResponse } from "@tanstack/ai";
import { BaseTextAdapter } from "@tanstack/ai/adapters";

const approves = process.argv[3] === "approve";

class ScriptedAdapter extends BaseTextAdapter {
  name = "scripted";
  kind = "text";
  constructor() {
    super({}, "scripted");
  }
  async structuredOutput() {
    throw new Error("not scripted");
  }
  async *chatStream(options) {
    const { messages } = options;
    const said = JSON.stringify([...messages].reverse().find((message) => message.role === "user")?.content ?? "");
    const base = { model: "scripted", timestamp: Date.now() };
    const ids = { runId: options.runId ?? "run", threadId: options.threadId ?? "thread" };
    const usage = { promptTokens: 20, completionTokens: 9, totalTokens: 29 };
    yield { ...base, type: "RUN_STARTED", ...ids };
    const isAnswered = messages[messages.length - 1].role === "tool";
    const calls = isAnswered
      ? []
      : said.includes("two gates")
        ? [["call_e", "gate_status", '{"gate": "east"}'], ["call_w", "gate_status", '{"gate": "west"}']]
        : said.includes("gate")
          ? [["call_g", "gate_status", '{"gate": "east"}']]
          : said.includes("map")
            ? [["call_m", "show_map", '{"zoom": 3}']]
            : [];
    if (calls.length) {
      for (const [index, [toolCallId, toolCallName, given]] of calls.entries()) {
        yield { ...base, type: "TOOL_CALL_START", toolCallId, toolCallName, toolName: toolCallName, index };
        for (const delta of [given.slice(0, 8), given.slice(8)]) {
          yield { ...base, type: "TOOL_CALL_ARGS", toolCallId, delta };
        }
        const input = JSON.parse(given);
        yield { ...base, type: "TOOL_CALL_END", toolCallId, toolName: toolCallName, toolCallName, input };
      }
      yield { ...base, type: "RUN_FINISHED", ...ids, finishReason: "tool_calls", usage };
      return;
    }
    const messageId = `msg-${Math.floor(performance.now() * 1000)}`;
    yield { ...base, type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    let content = "";
    for (const delta of isAnswered ? ["All ", "done."] : ["Good ", "morning."]) {
      content += delta;
      yield { ...base, type: "TEXT_MESSAGE_CONTENT", messageId, delta, content };
      if (said.includes("break")) throw new Error("the model is gone");
    }
    yield { ...base, type: "TEXT_MESSAGE_END", messageId };
    yield { ...base, type: "RUN_FINISHED", ...ids, finishReason: "stop", usage };
  }
}

const schema = (name, type) => ({ type: "object", properties: { [name]: { type } }, required: [name] });
const gate = toolDefinition({
  name: "gate_status",
  description: "The status of a gate",
  inputSchema: schema("gate", "string"),
}).server(async ({ gate }) => `${gate} is open`);
const map = toolDefinition({
  name: "show_map",
  description: "Show a map",
  needsApproval: approves,
  inputSchema: schema("zoom", "number"),
});

http
  .createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", async () => {
      try {
        const params = await chatParamsFromRequestBody(JSON.parse(body));
        const tools = [gate, approves ? map.server(async () => "shown") : map];
        const answer = toServerSentEventsResponse(chat({ adapter: new ScriptedAdapter(), ...params, tools }));
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        for await (const chunk of answer.body) response.write(chunk);
        response.end();
      } catch (error) {
        response.writeHead(500);
        response.end(String(error));
      }
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
