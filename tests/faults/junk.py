"""Data that are no event of any run, by kind: one table for each protocol."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BARE_JUNK",
    "JSON_ERRORS",
    "JUNK",
    "LANGGRAPH_JUNK",
    "MAX_BYTES",
    "MAX_FRAME",
    "PRIVATE_NAMES",
    "RETRY_AFTER",
]

MAX_BYTES: Final = 64 * 1024
"""The pipeline's limit for one message (bytes)."""
MAX_FRAME: Final = 96 * 1024
"""The limit of a WebSocket source for one message (bytes)."""

RETRY_AFTER: Final = ("0", "1", "9" * 4_000, "0.5", "1, 2", "Sun, 06 Nov 1994 08:49:37 GMT", "soon", "-1", "1e9")
"""Values of a header that a client obeys within its own limit, or ignores."""
JSON_ERRORS: Final = (
    b'{"error":{"message":"not now","code":"overloaded"}}',
    b'{"error": "not now"}\n',
    b'{\n  "detail": [\n    {"msg": "not now"}\n  ]\n}\n',
    b'[{"message": "not now"}]',
)
"""Bodies of errors with the status and the type of an event stream."""

_NOBODY = b'{"id":"msg_nobody","delta":{"content":[{"index":0,"type":"text","text":{"value":"?"}}]}}'
_CALLS = (
    b'{"id":"step_nobody","delta":{"step_details":{"type":"tool_calls","tool_calls":['
    b'{"index":%s,"id":"call_a","type":"function","function":{"name":"a","arguments":{"x":1}}},'
    b'{"index":%s,"id":"call_b","type":"function","function":{"name":"b","arguments":""}}]}}}'
)
"""Calls of one event, which share an index, or have one that is text, none, or no number."""
JUNK: Final[dict[str, tuple[tuple[str | None, bytes], ...]]] = {
    "json": (
        (None, b""),
        (None, b"{"),
        (None, b"nonsense"),
        ("thread.run.queued", b'{"id":"run_1","status":'),
        ("thread.message.delta", b"[DONE"),
        (None, b'{"event":"thread.run.queued","data":{"id":"run_junk"}} {}'),
    ),
    "types": (
        (None, b"5"),
        (None, b"null"),
        (None, b'["thread.run.queued"]'),
        (None, b'{"event":5,"data":{}}'),
        ("thread.run.queued", b'{"id":5,"status":"queued"}'),
        ("thread.run.queued", b'{"id":"run_junk"}'),
        ("thread.run.queued", b'{"id":"run_junk","status":[]}'),
        ("thread.message.delta", b"7"),
        ("thread.run.step.created", b"null"),
        ("thread.message.completed", b'"text"'),
    ),
    "bytes": (
        (None, b"\xff\xfe\x00\x01"),
        ("thread.run.queued", b'{"id":"run_junk","status":"queued","model":\xc3}'),
        ("thread.message.delta", b'{"id":"msg_junk\xed\xa0\x80"}'),
        (None, bytes(range(256))),
    ),
    "deep": (
        ("thread.run.queued", b"[" * 5000 + b"]" * 5000),
        (None, b'{"event":"thread.message.delta","data":' + b'{"a":' * 400 + b"1" + b"}" * 401),
        ("error", b'{"a":' * 8000),
    ),
    "large": (
        ("thread.run.queued", b'{"id":"run_junk","status":"queued","model":"' + b"x" * MAX_BYTES + b'"}'),
        (None, b" " * (MAX_BYTES + 1)),
    ),
    "names": (
        ("thread.run.step.imagined", b"{}"),
        ("", b"{}"),
        ("ping", b"null"),
        ("error", b'{"error":{"message":"not now","type":"server_error","code":null,"param":null}}'),
        ("error", b'"quota exceeded"'),
        ("error", b'{"detail":"quota exceeded"}'),
        ("error", b'{"error":"invalid_token","error_description":"\\ud83d"}'),
        (None, b'{"error":"quota exceeded"}'),
        ("message", b'{"event":"ping","data":null}'),
        ("done", b"[DONE]"),
        ("x.y", b'{"a":1e999,"b":"\\ud800"}'),
    ),
    "orphan": (
        ("thread.message.delta", _NOBODY),
        ("thread.message.delta", _NOBODY.replace(b"?", b"\\ud83d")),
        ("thread.run.step.delta", _CALLS % (b"0", b"0")),
        ("thread.run.step.delta", _CALLS % (b'"1"', b"null")),
        ("thread.run.step.delta", _CALLS % (b'"one"', b"0.5")),
        (
            "thread.run.step.completed",
            b'{"id":"step_nobody","object":"thread.run.step","run_id":"run_nobody","status":"completed"}',
        ),
    ),
    "giant": ((None, b'"' + b"x" * MAX_FRAME + b'"'),),
}
"""Names and data of the Assistants wire. An event without a name is a complete message."""

PRIVATE_NAMES: Final = frozenset({"response.metadata", "codex.rate_limits", "acme:trace"})
"""The names of junk that an open response receives as a custom event."""

# An item event names no response: one of an unknown item belongs to the open response, so none of these has an item
# event without a lane of its own.
_RESPONSES_JUNK: Final[dict[str, tuple[bytes, ...]]] = {
    "json": (
        b"",
        b"{",
        b"nonsense",
        b'{"type":"response.created","response":{"id":',
        b"[DONE",
        b'{"type":"response.output_text.delta","delta":"?"} {}',
    ),
    "types": (
        b"5",
        b"null",
        b'["response.created"]',
        b'{"type":5}',
        b'{"type":null,"response":{"id":"resp_junk"}}',
        b'{"type":"response.created","response":5}',
        b'{"type":"response.completed","response":null}',
        b'{"type":"response.output_item.added","item":"text"}',
        b'{"type":"response.output_text.delta","delta":7}',
        b'{"type":"response.output_text.delta","item_id":[],"delta":null}',
        b'{"sequence_number":3}',
    ),
    "bytes": (
        b"\xff\xfe\x00\x01",
        b'{"type":"response.created","response":{"id":"resp_junk","model":\xc3}}',
        b'{"type":"response.output_text.delta","item_id":"msg_junk","delta":"\xed\xa0\x80","stream_id":"nobody"}',
        b'{"type":"response.output_text.delta","item_id":"msg_junk","delta":"\\ud800","stream_id":"nobody"}',
        bytes(range(256)),
    ),
    "deep": (
        b"[" * 5000 + b"]" * 5000,
        b'{"type":"response.output_text.delta","delta":' + b'{"a":' * 400 + b"1" + b"}" * 401,
        b'{"type":"response.created","response":' + b'{"a":' * 8000,
    ),
    "large": (
        b'{"type":"response.metadata","text":"' + b"x" * MAX_BYTES + b'"}',
        b" " * (MAX_BYTES + 1),
    ),
    "names": (
        b'{"type":"keepalive"}',
        b'{"type":"response.imagined.delta","delta":"?"}',
        b'{"type":"response.metadata","headers":{}}',
        b'{"type":"codex.rate_limits","a":1e999,"b":"\\ud800"}',
        b'{"type":"acme:trace","id":"span_1"}',
        b'{"type":""}',
        b"[DONE]",
        b'{"type":"error","code":"previous_response_not_found","message":"not now","param":null}',
        b'{"type":"error","error":{"code":"websocket_stream_limit_reached","message":"not now"},"stream_id":"nobody"}',
        b'{"error":{"code":"response_not_active","message":"not now"}}',
    ),
    "orphan": (
        b'{"type":"response.output_text.delta","item_id":"msg_nobody","delta":"?","stream_id":"nobody"}',
        b'{"type":"response.output_item.done","item":{"id":"fc_nobody","type":"function_call"},"stream_id":"nobody"}',
    ),
    "giant": (b'"' + b"x" * MAX_FRAME + b'"',),
}
"""Complete messages of the Responses wire."""

# Content of an unknown message opens it, and a value of the application is a fact: none of these is such an event, or
# shows the type of one where it can't be read, or may be one of which nothing is left but its beginning.
_AG_UI_JUNK: Final[dict[str, tuple[bytes, ...]]] = {
    "json": (
        b"",
        b"[{",
        b"nonsense",
        b'{"type":"RUN_STA',
        b"[DONE",
        b'{"type":"HEARTBEAT","messageId":"msg","delta":"?"} {}',
    ),
    "types": (
        b"5",
        b"null",
        b'["RUN_STARTED"]',
        b'{"type":5}',
        b'{"type":null,"runId":"run_junk"}',
        b'{"type":"TEXT_MESSAGE_START","messageId":[5]}',
        b'{"type":"TEXT_MESSAGE_CONTENT","messageId":[],"delta":7}',
        b'{"type":"TOOL_CALL_START","toolCallId":{}}',
        b'{"type":"STEP_STARTED"}',
        b'{"type":"STATE_SNAPSHOT"}',
        b'{"type":"MESSAGES_SNAPSHOT","messages":"none"}',
    ),
    "bytes": (
        b"\xff\xfe\x00\x01",
        b'{"type":"RUN_STARTED","runId":\xc3}',
        b'{"type":"SOMETHING","value":"\xed\xa0\x80"}',
        bytes(range(256)),
    ),
    "deep": (
        b"[" * 5000 + b"]" * 5000,
        b'{"type":"CUSTOM","name":"deep","value":' + b'{"a":' * 400 + b"1" + b"}" * 401,
        b'{"type":"RAW","event":' + b'{"a":' * 8000,
    ),
    "large": (
        b'{"type":"RAW","event":"' + b"x" * MAX_BYTES + b'"}',
        b" " * (MAX_BYTES + 1),
    ),
    "names": (
        b'{"type":"HEARTBEAT"}',
        b'{"type":"USAGE_METADATA","tokens":3}',
        b'{"type":"TEXT_MESSAGE_DELTA","messageId":"msg_junk","delta":"?"}',
        b'{"type":"x.y","a":1e999,"b":"\\ud800"}',
        b'{"type":""}',
        b"[DONE]",
        b'{"type":"REASONING_START","messageId":"junk"}',
    ),
    "orphan": (
        b'{"type":"TEXT_MESSAGE_END","messageId":"msg_nobody"}',
        b'{"type":"TOOL_CALL_END","toolCallId":"call_nobody"}',
        b'{"type":"STEP_FINISHED","stepName":"nobody"}',
    ),
    "giant": (b'"' + b"x" * MAX_FRAME + b'"',),
}
"""Complete messages of the AG-UI wire."""

# An event without a run is of the open one: none of these is a value of the state, or one of the application.
LANGGRAPH_JUNK: Final[dict[str, tuple[tuple[str | None, bytes], ...]]] = {
    "json": (
        ("values", b"{"),
        ("messages", b"nonsense"),
        ("metadata", b'{"run_id":'),
        ("updates", b"[DONE"),
    ),
    "types": (
        ("messages", b"{}"),
        ("messages", b"[5]"),
        ("messages", b"[]"),
        ("updates", b'"text"'),
        ("metadata", b"[]"),
        ("metadata", b'{"run_id":5}'),
        ("messages/partial", b"7"),
        ("tasks", b"null"),
    ),
    "bytes": (
        ("imagined", b"\xff\xfe\x00\x01"),
        ("values", b'{"messages":\xc3}'),
        ("imagined", b'{"text":"\xed\xa0\x80"}'),
        ("updates", bytes(range(256))),
    ),
    "deep": (
        ("values", b"[" * 5000 + b"]" * 5000),
        ("messages", b'[{"type":"AIMessageChunk","content":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}]"),
        ("updates", b'{"a":' * 8000),
    ),
    "large": (
        ("values", b'{"text":"' + b"x" * MAX_BYTES + b'"}'),
        ("imagined", b" " * (MAX_BYTES + 1)),
    ),
    "names": (
        ("imagined", b"{}"),
        ("events", b'{"event":"on_chain_start"}'),
        ("metadata", b"{}"),
        ("x.y", b'{"a":1e999,"b":"\\ud800"}'),
        ("checkpoints", b"{}"),
    ),
    "orphan": (
        ("messages/metadata", b'{"nobody":{}}'),
        ("messages/complete", b"[]"),
        ("messages/partial", b"[]"),
    ),
}
"""Names and data of the LangGraph server's run wire."""

_METHOD: Final = b'{"type":"event","method":"%s","params":{"namespace":%s,"data":%s}}'
_LANGGRAPH_THREAD_JUNK: Final[dict[str, tuple[bytes, ...]]] = {
    "json": (b"", b"{", b"nonsense", b'{"type":"event","method":"values","params":', b"[DONE"),
    "types": (
        b"5",
        b"null",
        b'["event"]',
        b'{"type":5}',
        b'{"type":"event","method":5,"params":[]}',
        b'{"type":"event","method":"lifecycle","params":{"namespace":5,"data":7}}',
        b'{"type":"success"}',
        b'{"type":"error"}',
    ),
    "bytes": (
        b"\xff\xfe\x00\x01",
        _METHOD % (b"imagined", b"[]", b'"\xed\xa0\x80"'),
        bytes(range(256)),
    ),
    "deep": (
        b"[" * 5000 + b"]" * 5000,
        _METHOD % (b"values", b"[]", b'{"a":' * 400 + b"1" + b"}" * 400),
        b'{"type":"event","params":' + b'{"a":' * 8000,
    ),
    "large": (
        _METHOD % (b"imagined", b"[]", b'"' + b"x" * MAX_BYTES + b'"'),
        b" " * (MAX_BYTES + 1),
    ),
    "names": (
        _METHOD % (b"imagined", b"[]", b"{}"),
        _METHOD % (b"checkpoints", b"[]", b"{}"),
        _METHOD % (b"lifecycle", b"[]", b'{"event":"imagined"}'),
        b'{"type":"success","id":9,"result":{}}',
        b'{"type":"error","id":9,"error":"unknown_command","message":"not now"}',
        b'{"type":""}',
    ),
    "orphan": (
        _METHOD % (b"messages", b'["nobody:1"]', b'{"event":"message-finish"}'),
        _METHOD
        % (b"messages", b'["nobody:1"]', b'{"event":"content-block-finish","index":0,"content":{"type":"text"}}'),
    ),
    "giant": (b'"' + b"x" * MAX_FRAME + b'"',),
}

BARE_JUNK: Final = {
    "responses": _RESPONSES_JUNK,
    "ag-ui": _AG_UI_JUNK,
    "langgraph-thread": _LANGGRAPH_THREAD_JUNK,
}
"""Complete messages, by protocol."""
