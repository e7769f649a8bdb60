"""React to streamed agent runs, and answer them: any protocol in, one trustworthy Run out.

The public names of the library. A module is loaded when one of its names is first used, so that a program that folds
a file loads no socket library. The whole model stands in :mod:`runstream.model`, tools for tests in
:mod:`runstream.testing`.
"""

from __future__ import annotations

from runstream.model.exports import export

__version__ = "0.2.0"

NAMES = {
    "runstream.checker.check": "check",
    "runstream.checker.live": "check_url",
    "runstream.checker.report": "CheckedRun CheckReport Finding Place",
    "runstream.checker.rules": "CheckRule",
    "runstream.checker.session": "CHECK_RULES",
    "runstream.clients.ag_ui": "AgUiClient",
    "runstream.clients.answer_schemas": "AnswerNotValid",
    "runstream.clients.answers": "Approve ApproveFunction CallAnswer Decline Output",
    "runstream.clients.assistants": "AssistantsClient",
    "runstream.clients.base": "BaseClient",
    "runstream.clients.blocking": "BlockingClient",
    "runstream.clients.langgraph": "LangGraphClient",
    "runstream.clients.options": "ClientOptions",
    "runstream.clients.outputs": "FailureKind ToolError ToolErrorPolicy ToolFailed",
    "runstream.clients.responses": "ResponsesClient",
    "runstream.clients.session": "UnansweredFunction",
    "runstream.clients.tools": "LocalTool ToolArgumentsError ToolContext ToolLike tool",
    "runstream.cluster.broker": "Broker",
    "runstream.cluster.cluster": "Cluster Start",
    "runstream.cluster.groups": "HandlerGroup",
    "runstream.cluster.embedded": "EmbeddedBroker",
    "runstream.cluster.ingest": "Ingest",
    "runstream.cluster.ingest_handle": "IngestHandle IngestOptions",
    "runstream.cluster.operations": "ClusterStatus PartitionStatus init_cluster load_topology read_status",
    "runstream.cluster.recorded": "RecordedItems",
    "runstream.cluster.source": "ClusterSource",
    "runstream.cluster.topology": "Retention Topology",
    "runstream.cluster.worker": "Worker WorkerStats",
    "runstream.core.derive": "derive",
    "runstream.core.reduce": "reduce",
    "runstream.core.run_filter": "Filters",
    "runstream.core.state": "RunState Timings",
    "runstream.core.state_snapshot": "StateSnapshot",
    "runstream.dialects.assistants": "AssistantsDialect",
    "runstream.dialects.assistants_wire": "EVENT_TYPES",
    "runstream.dialects.base": "BaseDialect Dialect",
    "runstream.dialects.redaction_rules": "RedactionRules",
    "runstream.dialects.registry": "DialectFactory FindRun dialect_names register_dialect",
    "runstream.engine.engine": "Engine",
    "runstream.engine.fold": "Folded fold fold_sources",
    "runstream.engine.intake": "Intake",
    "runstream.engine.watchdogs": "Watchdogs",
    "runstream.errors": (
        "ClusterError DecodeError IncompleteStream RecordingError RequestFailed ReturnRefused RunstreamError "
        "ServerError SeveralRuns SlowConsumer SourceFailed StoreError SubscriberFailed SubscribersFailed "
        "UnsupportedRequest"
    ),
    "runstream.model": (
        "ErrorObject Message MessageStatus RequiredAction Run RunStatus RunStep StepStatus Thread Tool ToolCall Usage"
    ),
    "runstream.model.events": (
        "ActivityEvent CustomEvent DocumentPatch DocumentSnapshot DoneEvent EmptyEvent ErrorEvent Event "
        "MessageDeltaEvent MessageEvent Origin Reject RunDetached RunEvent StepDeltaEvent StepEvent Target TextAppend "
        "ThreadEvent UnknownEvent"
    ),
    "runstream.model.limits": "Limits Stats",
    "runstream.model.raw": "Answer ConnectionEvent Idle Malformed Oversized RawEvent RawItem Request ResponseHead",
    "runstream.model.signals": (
        "SIGNAL_TYPES ActionRequired ActivityChanged ArgumentsDelta AwaitedCall CustomReceived DocumentChanged "
        "MessageCompleted MessageCreated MessageIncomplete ProgressSignal ReasoningDelta RefusalDelta RunCancelled "
        "RunCompleted RunCreated RunExpired RunFailed RunIncomplete RunInterrupted RunPaused RunSignal "
        "RunStalled RunStatusChanged Signal SourceConnected SourceDisconnected SourceEnded SourceError "
        "SourceResumed SourceSignal StepCancelled StepCompleted StepCreated StepExpired StepFailed TextDelta "
        "TextReplaced ToolCallCompleted ToolCallOutputDelta ToolCallResult"
    ),
    "runstream.recordings.reader": "UnknownRecordingFormat read_recording",
    "runstream.recordings.redaction": "Redaction",
    "runstream.recordings.server": "RecordingServer serve_recording",
    "runstream.recordings.source": "RecordingSource",
    "runstream.recordings.tee": "RecordedSource record",
    "runstream.recordings.writer": "RecordingWriter",
    "runstream.rx.conflation": "conflate",
    "runstream.rx.filters": "only where",
    "runstream.rx.operators": "Change decoded deduped derived pipeline reduced states",
    "runstream.sinks.ag_ui.asgi": "AgUiApp",
    "runstream.sinks.ag_ui.encoder": "AgUiEncoder",
    "runstream.sinks.ag_ui.events": "AgUiEvent",
    "runstream.sinks.ag_ui.run_input": "AgUiInput AgUiInputError AgUiResume AgUiTool",
    "runstream.sinks.ag_ui.threads": "AgUiHandler AgUiRequest",
    "runstream.sinks.ag_ui.waiting": "AgUiWaiting",
    "runstream.sinks.log": "log_record log_signals",
    "runstream.sinks.notebook": "NotebookView",
    "runstream.sinks.page.asgi": "PageApp",
    "runstream.sinks.page.feed": "PageFeed",
    "runstream.sinks.page.server": "PageServer serve_page",
    "runstream.sinks.sse.asgi": "SseApp",
    "runstream.sinks.sse.relay": "SseContent SseRelay",
    "runstream.sinks.terminal.live_view": "LiveView",
    "runstream.sinks.tracing": "RunTracer",
    "runstream.sinks.ui_message_stream.asgi": "UiMessageApp",
    "runstream.sinks.ui_message_stream.chat": "UiChat UiChatError",
    "runstream.sinks.ui_message_stream.chats": "UiChatHandler",
    "runstream.sinks.ui_message_stream.chunks": "UiMessageChunk",
    "runstream.sinks.ui_message_stream.encoder": "UiMessageEncoder",
    "runstream.sources.ag_ui": "AgUiSource",
    "runstream.sources.base": "Receiver Source",
    "runstream.sources.connection_loop": "Resume ResumeInfo",
    "runstream.sources.poll": "PollSource",
    "runstream.sources.reconnect": "Reconnect",
    "runstream.sources.langgraph": "LangGraphSource",
    "runstream.sources.langgraph_thread": "LangGraphThreadSource",
    "runstream.sources.responses": "ResponsesSource",
    "runstream.sources.responses_websocket": "ResponsesWebSocket",
    "runstream.sources.sse": "SseSource",
    "runstream.sources.sse_chunks": "SseChunks",
    "runstream.sources.sse_parser": "SSEParser",
    "runstream.sources.websocket": "WebSocketSource",
    "runstream.store.base": "StateStore StoredRun StoredSource",
    "runstream.store.calls": "CallStore",
    "runstream.store.codec": "decode_state encode_state",
    "runstream.store.memory": "MemoryStore",
    "runstream.store.sqlite": "SqliteStore",
    "runstream.stream.blocking": "BlockingStream",
    "runstream.stream.connect": "ConnectOptions connect",
    "runstream.stream.handler_methods": "handles",
    "runstream.stream.handler_options": "Retry",
    "runstream.stream.repairs": "Repair",
    "runstream.stream.run_stream": "RunStream",
    "runstream.stream.run_view": "RunView",
    "runstream.stream.source_handle": "SourceHandle",
}
"""The public names, by module; the stub ``__init__.pyi`` is generated from this table."""

MODULES = {"demo": "runstream.recordings.demo"}
"""Modules that are public attributes of the package, by attribute."""

# After `import runstream` the folders are attributes too.
_FOLDERS = {module.split(".")[1]: ".".join(module.split(".")[:2]) for module in NAMES}

MODULE_OF, __getattr__, __dir__ = export(__name__, NAMES, {**_FOLDERS, **MODULES})

__all__ = sorted([*MODULE_OF, "__version__"])  # noqa: PLE0605 - the names stand in the table
