"""Documents, activities and custom values of a run: their signals enter, AG-UI events leave."""

from __future__ import annotations

from typing import Any, Final

from runstream.core.state import RunState
from runstream.model.frozen import FrozenMap, thaw
from runstream.model.signals import ActivityChanged, CustomReceived, DocumentChanged
from runstream.sinks.ag_ui.content import Content
from runstream.sinks.ag_ui.events import AgUiEvent

__all__ = ["Values"]

_ENCRYPTED: Final = "REASONING_ENCRYPTED_VALUE"
_FORBIDDEN: Final = frozenset({"__proto__", "prototype", "constructor"})  # names that the official client refuses


class Values:
    """The values of a run.

    Args:
        out: The list to which events are appended.
        content: The content of the run, for the ids of subagents and reasoning.
        show_raw: True to send raw events of an AG-UI server.
    """

    def __init__(self, out: list[AgUiEvent], content: Content, *, show_raw: bool) -> None:
        self._out = out
        self._content = content
        self._show_raw = show_raw
        self._has_document = False
        self._activities: dict[str, int] = {}  # the versions that the front end has

    def add(self, signal: Any) -> None:
        """Append the events of a signal; none if it is of another kind."""
        if isinstance(signal, DocumentChanged):
            self._add_document(signal)
        elif isinstance(signal, ActivityChanged):
            self._add_activity(signal)
        elif isinstance(signal, CustomReceived):
            self._add_custom(signal)

    def add_state(self, state: RunState) -> None:
        """Append snapshots of the document and the activities of a state."""
        if () in state.documents:
            self._has_document = True
            self._append("STATE_SNAPSHOT", (), snapshot=thaw(state.document))
        for activity in state.activities:
            self._activities[activity.id] = activity.version
            self._show_activity(activity.id, activity.kind, activity.value, activity.path)

    def _append(self, type: str, path: tuple[str, ...], **fields: Any) -> None:
        event = {"type": type, **fields}
        tag = self._content.tag(path)
        if tag is not None:
            event["subagentRunId"] = tag
        self._out.append(event)

    def _add_document(self, signal: DocumentChanged) -> None:
        if signal.path:
            return  # a front end has one document, that of the run itself
        operations = thaw(signal.operations)
        # The document of the front end is unknown before the first snapshot.
        if self._has_document and not signal.partial and _is_applicable(operations):
            self._append("STATE_DELTA", (), delta=operations)
            return
        self._has_document = True
        self._append("STATE_SNAPSHOT", (), snapshot=thaw(signal.value))

    def _add_activity(self, signal: ActivityChanged) -> None:
        known = self._activities.get(signal.activity_id, -1)
        self._activities[signal.activity_id] = signal.version
        operations = thaw(signal.operations)
        follows = known == signal.version - 1 and not signal.partial and _is_applicable(operations)
        if follows and isinstance(signal.value, FrozenMap):
            kind = signal.kind or "activity"
            id = signal.activity_id
            self._append("ACTIVITY_DELTA", signal.path, messageId=id, activityType=kind, patch=operations)
            return
        self._show_activity(signal.activity_id, signal.kind, signal.value, signal.path)

    def _show_activity(self, id: str, kind: str, value: Any, path: tuple[str, ...]) -> None:
        content = thaw(value)
        if not isinstance(content, dict):
            content = {"value": content}  # the content of an activity is an object
        self._append(
            "ACTIVITY_SNAPSHOT", path, messageId=id, activityType=kind or "activity", content=content, replace=True
        )

    def _add_custom(self, signal: CustomReceived) -> None:
        name, value = signal.name, thaw(signal.value)
        if name == "on_interrupt":
            return  # the end of the run has the interrupt
        if name == "RAW":
            if self._show_raw and isinstance(value, dict) and "event" in value:
                self._append("RAW", signal.path, **value)
        elif name == _ENCRYPTED and isinstance(value, dict):
            subtype, entity, secret = (value.get(field) for field in ("subtype", "entityId", "encryptedValue"))
            if subtype in ("tool-call", "message") and isinstance(entity, str) and isinstance(secret, str):
                entity = self._content.reasoning_id(entity)
                self._append(_ENCRYPTED, signal.path, subtype=subtype, entityId=entity, encryptedValue=secret)
        else:
            self._append("CUSTOM", signal.path, name=name, value=value)


def _is_applicable(operations: Any) -> bool:
    """True if the official client applies a patch as it is."""
    return isinstance(operations, list) and not any(
        name in _FORBIDDEN
        for operation in operations
        for place in (operation.get("path"), operation.get("from"))
        for name in (place or "").split("/")
    )
