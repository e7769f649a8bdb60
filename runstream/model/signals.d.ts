// Written by docs/make_schemas.py from the signal classes: change those, then run it.

export interface Run {
  id: string;
  status: string;
  thread_id?: string | null;
  assistant_id?: string | null;
  model?: string | null;
  usage?: Record<string, unknown> | null;
  last_error?: Record<string, unknown> | null;
  required_action?: Record<string, unknown> | null;
  metadata?: Record<string, unknown> | null;
  [field: string]: unknown;
}

export interface Message {
  id: string;
  role?: string | null;
  content?: unknown[] | null;
  status?: string | null;
  [field: string]: unknown;
}

export interface RunStep {
  id: string;
  type?: string | null;
  status?: string | null;
  step_details?: Record<string, unknown> | null;
  [field: string]: unknown;
}

export interface ToolCall {
  id?: string | null;
  type: string;
  [field: string]: unknown;
}

export interface RequiredAction {
  type: string;
  [field: string]: unknown;
}

export interface ErrorObject {
  code?: string | null;
  message?: string | null;
  [field: string]: unknown;
}

/** A tool call that a run waits for. */
export interface AwaitedCall {
  id: string;
  name: string | null;
  arguments: string | null;
  parsed: unknown;
  error: string | null;
  key: string;
  kind: string;
  [field: string]: unknown;
}

/** A run was seen for the first time, in any status; the signal of that status follows. */
export interface RunCreated {
  type: "run.created";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  path: string[];
}

/** A run entered a status without a signal class of its own: queued, in_progress, cancelling, or an unknown one. */
export interface RunStatusChanged {
  type: "run.status_changed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  before: string | null;
  after: string;
  round: number;
  path: string[];
}

/** A run waits for the application: for tool outputs, for an approval, or for an action of an unknown type. */
export interface ActionRequired {
  type: "run.action_required";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  action: RequiredAction;
  calls: AwaitedCall[];
  request: string;
  path: string[];
}

/** A run completed; ``run.usage`` has the token counts. */
export interface RunCompleted {
  type: "run.completed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  duration: number | null;
  path: string[];
}

/** A run failed; ``run.last_error`` has the reason. */
export interface RunFailed {
  type: "run.failed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  duration: number | null;
  path: string[];
}

/** A run was cancelled. */
export interface RunCancelled {
  type: "run.cancelled";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  duration: number | null;
  path: string[];
}

/** A run expired. */
export interface RunExpired {
  type: "run.expired";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  duration: number | null;
  path: string[];
}

/** A run ended incomplete; ``run.incomplete_details`` has the reason. */
export interface RunIncomplete {
  type: "run.incomplete";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  duration: number | null;
  path: string[];
}

/** The source of a run ended while the run requires action; the run continues with its next source. */
export interface RunPaused {
  type: "run.paused";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  round: number;
  path: string[];
}

/** The source of a run ended for good before the run did: the state of the run may be incomplete. */
export interface RunInterrupted {
  type: "run.interrupted";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  reason: string;
  last_event_id: string | null;
  attempts: number;
  n: number;
  server_message: string;
  path: string[];
}

/** No event of a run was received for longer than a limit of the watchdogs. */
export interface RunStalled {
  type: "run.stalled";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  run: Run;
  idle: number;
  limit: string;
  n: number;
  path: string[];
}

/** A message was seen for the first time. */
export interface MessageCreated {
  type: "message.created";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message: Message;
  path: string[];
}

/** A message is complete. */
export interface MessageCompleted {
  type: "message.completed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message: Message;
  path: string[];
}

/** A message ended incomplete; its ``incomplete_details`` have the reason. */
export interface MessageIncomplete {
  type: "message.incomplete";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message: Message;
  path: string[];
}

/** Text was appended to a content part of a message. */
export interface TextDelta {
  type: "message.text";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message_id: string;
  part: number;
  offset: number;
  delta: string;
  path: string[];
}

/** A full object or a replay corrected a content part: ``text`` replaces the text of the part shown so far. */
export interface TextReplaced {
  type: "message.text_replaced";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message_id: string;
  part: number;
  text: string;
  n: number;
  path: string[];
}

/** Text was appended to a refusal in a message: the model declines to answer. */
export interface RefusalDelta {
  type: "message.refusal";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  message_id: string;
  part: number;
  offset: number;
  delta: string;
  path: string[];
}

/** Text was appended to the reasoning of a step, or to its summary. */
export interface ReasoningDelta {
  type: "reasoning.text";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step_id: string;
  part: number;
  offset: number;
  delta: string;
  kind: "reasoning" | "summary";
  path: string[];
}

/** A step was seen for the first time. */
export interface StepCreated {
  type: "step.created";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step: RunStep;
  path: string[];
}

/** A step completed. */
export interface StepCompleted {
  type: "step.completed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step: RunStep;
  path: string[];
}

/** A step failed; its ``last_error`` has the reason. */
export interface StepFailed {
  type: "step.failed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step: RunStep;
  path: string[];
}

/** A step was cancelled. */
export interface StepCancelled {
  type: "step.cancelled";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step: RunStep;
  path: string[];
}

/** A step expired. */
export interface StepExpired {
  type: "step.expired";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  step: RunStep;
  path: string[];
}

/** Arguments (or code) were appended to a tool call. */
export interface ArgumentsDelta {
  type: "tool_call.arguments";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  call_id: string;
  offset: number;
  delta: string;
  call_key: string;
  path: string[];
}

/** The arguments of a tool call are complete. Whether the run waits for the call, :class:`ActionRequired` says. */
export interface ToolCallCompleted {
  type: "tool_call.completed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  call_id: string;
  call: ToolCall;
  call_key: string;
  path: string[];
}

/** Output was appended to a tool call. */
export interface ToolCallOutputDelta {
  type: "tool_call.output";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  call_id: string;
  offset: number;
  delta: string;
  call_key: string;
  path: string[];
}

/** The output of a tool call is complete: the application has submitted it, or the server has run the tool. */
export interface ToolCallResult {
  type: "tool_call.result";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  call_id: string;
  call: ToolCall;
  output: string;
  call_key: string;
  path: string[];
}

/** The document of a run has another value: the state that its agent shares with the application. */
export interface DocumentChanged {
  type: "document.changed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  version: number;
  value: unknown;
  operations: unknown;
  size: number;
  partial: boolean;
  path: string[];
}

/** An activity of a run has another content: what an application shows beside messages, such as a plan. */
export interface ActivityChanged {
  type: "activity.changed";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  activity_id: string;
  kind: string;
  version: number;
  value: unknown;
  operations: unknown;
  size: number;
  partial: boolean;
  path: string[];
}

/** The application on the server, or a server's extension of the protocol, sent a value for a run. */
export interface CustomReceived {
  type: "custom";
  key: string;
  run_id: string;
  thread_id: string | null;
  scope: string;
  at: number;
  name: string;
  value: unknown;
  n: number;
  path: string[];
}

/** A source is connected. */
export interface SourceConnected {
  type: "source.connected";
  key: string;
  source: string;
  scope: string;
  at: number;
  n: number;
  reason: string;
  attempt: number;
  server_message: string;
}

/** A source lost its connection and will reconnect. */
export interface SourceDisconnected {
  type: "source.disconnected";
  key: string;
  source: string;
  scope: string;
  at: number;
  n: number;
  reason: string;
  attempt: number;
  server_message: string;
}

/** A source is connected again. */
export interface SourceResumed {
  type: "source.resumed";
  key: string;
  source: string;
  scope: string;
  at: number;
  n: number;
  reason: string;
  attempt: number;
  server_message: string;
}

/** A source ended: it delivers no further events. */
export interface SourceEnded {
  type: "source.ended";
  key: string;
  source: string;
  scope: string;
  at: number;
  n: number;
  reason: string;
  attempt: number;
  server_message: string;
}

/** A source failed, or the server sent an error event that ends no run. */
export interface SourceError {
  type: "source.error";
  key: string;
  source: string;
  scope: string;
  at: number;
  n: number;
  reason: string;
  attempt: number;
  server_message: string;
  error: ErrorObject | null;
  run_id: string | null;
}

/** A signal, by its `type`. */
export type Signal =
  | RunCreated
  | RunStatusChanged
  | ActionRequired
  | RunCompleted
  | RunFailed
  | RunCancelled
  | RunExpired
  | RunIncomplete
  | RunPaused
  | RunInterrupted
  | RunStalled
  | MessageCreated
  | MessageCompleted
  | MessageIncomplete
  | TextDelta
  | TextReplaced
  | RefusalDelta
  | ReasoningDelta
  | StepCreated
  | StepCompleted
  | StepFailed
  | StepCancelled
  | StepExpired
  | ArgumentsDelta
  | ToolCallCompleted
  | ToolCallOutputDelta
  | ToolCallResult
  | DocumentChanged
  | ActivityChanged
  | CustomReceived
  | SourceConnected
  | SourceDisconnected
  | SourceResumed
  | SourceEnded
  | SourceError;
