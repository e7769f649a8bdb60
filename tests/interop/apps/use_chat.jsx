// A chat with `useChat` of the npm package `@ai-sdk/react`: texts, reasoning, calls of tools, and approvals.
import { useChat } from "@ai-sdk/react";
import {
  DefaultChatTransport,
  getToolName,
  isToolUIPart,
  lastAssistantMessageIsCompleteWithApprovalResponses,
} from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

function Tool({ part, decide }) {
  return (
    <section className="tool" data-state={part.state}>
      <h3>
        {getToolName(part)} <small>{part.state}</small>
      </h3>
      <pre>{JSON.stringify(part.input)}</pre>
      {part.state === "approval-requested" && (
        <p>
          <button onClick={() => decide({ id: part.approval.id, approved: true })}>Approve</button>
          <button onClick={() => decide({ id: part.approval.id, approved: false, reason: "not today" })}>Decline</button>
        </p>
      )}
      {part.state === "output-available" && part.output !== null && <output>{JSON.stringify(part.output)}</output>}
      {part.state === "output-error" && <output>{part.errorText}</output>}
    </section>
  );
}

function Part({ part, decide }) {
  if (part.type === "text") return <p className="text">{part.text}</p>;
  if (part.type === "reasoning") return <p className="reasoning">{part.text}</p>;
  if (isToolUIPart(part)) return <Tool part={part} decide={decide} />;
  return null;
}

function Chat() {
  const [input, setInput] = useState("");
  const { messages, status, error, sendMessage, addToolApprovalResponse } = useChat({
    id: new URLSearchParams(location.search).get("chat") ?? "chat-1",
    resume: new URLSearchParams(location.search).has("resume"),
    transport: new DefaultChatTransport({ api: "/api/chat" }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const send = (event) => {
    event.preventDefault();
    sendMessage({ text: input });
    setInput("");
  };
  return (
    <main data-status={status}>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          {message.parts.map((part, at) => (
            <Part key={at} part={part} decide={addToolApprovalResponse} />
          ))}
          {message.role === "assistant" && <footer>{message.metadata?.runs?.[message.metadata.runId]?.status}</footer>}
        </article>
      ))}
      {error && <p className="error">{error.message}</p>}
      <form onSubmit={send}>
        <input value={input} placeholder="Ask something" onChange={(event) => setInput(event.target.value)} />
        <button>Send</button>
      </form>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
