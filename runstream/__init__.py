"""React to streamed agent runs: any Assistants dialect in, one trustworthy Run out.

The public names, nothing else. The whole model stands in :mod:`runstream.model`, tools for tests in
``runstream.testing``. A name's module is loaded when the name is first asked for (PEP 562), so whoever only folds a
file waits for no socket library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstream.blocking import BlockingStream
    from runstream.conflation import conflate
    from runstream.connecting import connect
    from runstream.core.derive import derive
    from runstream.core.limits import Limits, Stats
    from runstream.core.reduce import reduce
    from runstream.core.signals import (
        SIGNAL_TYPES,
        ActionRequired,
        ArgumentsDelta,
        AwaitedCall,
        MessageCompleted,
        MessageCreated,
        MessageIncomplete,
        RunCancelled,
        RunCompleted,
        RunCreated,
        RunExpired,
        RunFailed,
        RunIncomplete,
        RunInterrupted,
        RunPaused,
        RunSignal,
        RunStalled,
        RunStatusChanged,
        Signal,
        SourceConnected,
        SourceDisconnected,
        SourceEnded,
        SourceError,
        SourceResumed,
        SourceSignal,
        StepCancelled,
        StepCompleted,
        StepCreated,
        StepExpired,
        StepFailed,
        TextDelta,
        TextReplaced,
        ToolCallCompleted,
    )
    from runstream.core.state import RunState, Timings
    from runstream.dialects.assistants import AssistantsDialect
    from runstream.dialects.base import Dialect
    from runstream.engine import Engine
    from runstream.errors import (
        DecodeError,
        IncompleteStream,
        RecordingError,
        RunstreamError,
        SeveralRuns,
        SlowConsumer,
        SourceFailed,
        StoreError,
    )
    from runstream.events import (
        EVENT_TYPES,
        DoneEvent,
        ErrorEvent,
        Event,
        MessageDeltaEvent,
        MessageEvent,
        Origin,
        Reject,
        RunEvent,
        StepDeltaEvent,
        StepEvent,
        ThreadEvent,
        UnknownEvent,
    )
    from runstream.filters import only, where
    from runstream.folding import Folded, fold, fold_sources
    from runstream.intake import Intake
    from runstream.model import (
        ErrorObject,
        Message,
        MessageStatus,
        RequiredAction,
        Run,
        RunStatus,
        RunStep,
        StepStatus,
        Thread,
        Tool,
        ToolCall,
        Usage,
    )
    from runstream.operators import Change, decoded, deduped, derived, pipeline, reduced, states
    from runstream.raw import ConnectionEvent, RawEvent
    from runstream.server import RecordingServer, serve_recording
    from runstream.sinks.live import LiveView
    from runstream.sinks.log import log_signals
    from runstream.sinks.page.asgi import PageApp
    from runstream.sinks.page.feed import PageFeed
    from runstream.sinks.page.server import PageServer, serve_page
    from runstream.sinks.records import log_record
    from runstream.sources.attempts import Resume, ResumeInfo
    from runstream.sources.base import Inlet, Source
    from runstream.sources.poll import PollSource
    from runstream.sources.reconnect import Reconnect
    from runstream.sources.recorded import RecordedSource, record
    from runstream.sources.recording_reader import UnknownRecordingFormat, read_recording
    from runstream.sources.recording_source import RecordingSource
    from runstream.sources.recording_writer import RecordingWriter
    from runstream.sources.redaction import Redaction
    from runstream.sources.sse import SseSource
    from runstream.sources.sse_chunks import SseChunks
    from runstream.sources.sse_parser import Malformed, Oversized, SSEParser
    from runstream.sources.websocket import WebSocketSource
    from runstream.store.base import StateStore, StoredRun, StoredSource
    from runstream.store.codec import decode_state, encode_state
    from runstream.store.memory import MemoryStore
    from runstream.store.sqlite import SqliteStore
    from runstream.stream.handle import SourceHandle
    from runstream.stream.handling import handles
    from runstream.stream.matching import Filters
    from runstream.stream.repairs import Repair
    from runstream.stream.run_stream import RunStream
    from runstream.stream.run_view import RunView
    from runstream.watchdogs import Watchdogs
else:
    # Out of sight of type checkers: where they see a module's `__getattr__`, any misspelt name passes.
    from importlib import import_module as _import_module

    from runstream.names import MODULE_OF as _MODULE_OF
    from runstream.names import PARTS as _PARTS

    def __getattr__(name: str) -> object:
        if name in _MODULE_OF:
            value = globals()[name] = getattr(_import_module(_MODULE_OF[name]), name)  # from now on found at once
            return value
        if name in _PARTS:
            return _import_module(f"runstream.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "EVENT_TYPES",
    "SIGNAL_TYPES",
    "ActionRequired",
    "ArgumentsDelta",
    "AssistantsDialect",
    "AwaitedCall",
    "BlockingStream",
    "Change",
    "ConnectionEvent",
    "DecodeError",
    "Dialect",
    "DoneEvent",
    "Engine",
    "ErrorEvent",
    "ErrorObject",
    "Event",
    "Filters",
    "Folded",
    "IncompleteStream",
    "Inlet",
    "Intake",
    "Limits",
    "LiveView",
    "Malformed",
    "MemoryStore",
    "Message",
    "MessageCompleted",
    "MessageCreated",
    "MessageDeltaEvent",
    "MessageEvent",
    "MessageIncomplete",
    "MessageStatus",
    "Origin",
    "Oversized",
    "PageApp",
    "PageFeed",
    "PageServer",
    "PollSource",
    "RawEvent",
    "Reconnect",
    "RecordedSource",
    "RecordingError",
    "RecordingServer",
    "RecordingSource",
    "RecordingWriter",
    "Redaction",
    "Reject",
    "Repair",
    "RequiredAction",
    "Resume",
    "ResumeInfo",
    "Run",
    "RunCancelled",
    "RunCompleted",
    "RunCreated",
    "RunEvent",
    "RunExpired",
    "RunFailed",
    "RunIncomplete",
    "RunInterrupted",
    "RunPaused",
    "RunSignal",
    "RunStalled",
    "RunState",
    "RunStatus",
    "RunStatusChanged",
    "RunStep",
    "RunStream",
    "RunView",
    "RunstreamError",
    "SSEParser",
    "SeveralRuns",
    "Signal",
    "SlowConsumer",
    "Source",
    "SourceConnected",
    "SourceDisconnected",
    "SourceEnded",
    "SourceError",
    "SourceFailed",
    "SourceHandle",
    "SourceResumed",
    "SourceSignal",
    "SqliteStore",
    "SseChunks",
    "SseSource",
    "StateStore",
    "Stats",
    "StepCancelled",
    "StepCompleted",
    "StepCreated",
    "StepDeltaEvent",
    "StepEvent",
    "StepExpired",
    "StepFailed",
    "StepStatus",
    "StoreError",
    "StoredRun",
    "StoredSource",
    "TextDelta",
    "TextReplaced",
    "Thread",
    "ThreadEvent",
    "Timings",
    "Tool",
    "ToolCall",
    "ToolCallCompleted",
    "UnknownEvent",
    "UnknownRecordingFormat",
    "Usage",
    "Watchdogs",
    "WebSocketSource",
    "__version__",
    "conflate",
    "connect",
    "decode_state",
    "decoded",
    "deduped",
    "derive",
    "derived",
    "encode_state",
    "fold",
    "fold_sources",
    "handles",
    "log_record",
    "log_signals",
    "only",
    "pipeline",
    "read_recording",
    "record",
    "reduce",
    "reduced",
    "serve_page",
    "serve_recording",
    "states",
    "where",
]
