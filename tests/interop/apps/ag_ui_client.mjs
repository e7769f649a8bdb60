// The official AG-UI client: it reads each file as the answer to one run, and prints one JSON object a line: what it
// threw, the outcome, the calls that wait, the messages and the state.
// Usage: node ag_ui_client.mjs FILE.sse[+FILE.sse] ...; files joined by + are runs of one thread. It stands beside
// node_modules. The variable AG_UI_CLIENT names another package, such as an older client.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename } from "node:path";

const warnings = [];
console.warn = (...values) => warnings.push(values.map(String).join(" "));
console.error = (...values) => warnings.push(values.map(String).join(" "));
process.on("uncaughtException", (error) => warnings.push(`uncaught ${error}`)); // a socket that closes under the client
const { HttpAgent } = await import(process.env.AG_UI_CLIENT ?? "@ag-ui/client");

let body = Buffer.alloc(0);
const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(body);
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

async function play(agent, file) {
  body = readFileSync(file);
  const found = { file: basename(file) };
  const resume = (agent.pendingInterrupts ?? []).map(({ id }) => ({ interruptId: id, status: "resolved", payload: {} }));
  try {
    await agent.runAgent(resume.length ? { resume } : {}, {
      onRunErrorEvent: ({ event }) => {
        found.error = event.message;
      },
      onRunFinishedEvent: (finish) => {
        found.outcome = finish.outcome;
        found.pending = finish.pendingToolCallIds;
      },
    });
  } catch (error) {
    found.threw = `${error.name}: ${error.message}`.slice(0, 300);
  }
  found.interrupts = (agent.pendingInterrupts ?? []).map(({ id }) => id);
  found.messages = agent.messages;
  found.state = agent.state;
  process.stdout.write(JSON.stringify(found) + "\n");
}

for (const thread of process.argv.slice(2)) {
  const agent = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}/`, threadId: "thread" });
  for (const file of thread.split("+")) await play(agent, file);
}
server.close();
server.closeAllConnections();
