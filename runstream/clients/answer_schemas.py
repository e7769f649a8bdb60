"""Answers to interrupts that have a schema: checked before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runstream.errors import RunstreamError
from runstream.logs import LOG
from runstream.model.frozen import thaw
from runstream.model.signal_base import AwaitedCall

__all__ = ["AnswerNotValid", "check_answer"]


class AnswerNotValid(RunstreamError, ValueError):
    """An answer does not fit the schema that its interrupt has; nothing was sent.

    Attributes:
        call_id: The id of the interrupt.
        place: The place of the first fault in the answer, as a JSON path (``$.name``).
        fault: What is wrong there; it may quote the answer.
    """

    def __init__(self, call_id: str, place: str, fault: str) -> None:
        super().__init__(
            f"the answer to {call_id!r} does not fit its response_schema: {place}: {fault}; "
            "pass a value that fits, as an output or Approve(value)"
        )
        self.call_id = call_id
        self.place = place
        self.fault = fault

    def __reduce__(self) -> tuple[type[AnswerNotValid], tuple[str, str, str]]:
        return (type(self), (self.call_id, self.place, self.fault))


def check_answer(call: AwaitedCall, value: Any) -> None:
    """Check the answer to a call against the schema of the call.

    The check needs the extra ``schema`` (jsonschema). Without it, and for a schema that is none or refers to another
    document, the answer is not checked, and the log has ``answer_not_checked``.

    Args:
        call: The call; one without a schema accepts any answer.
        value: The answer as it is sent: a value that is encoded as JSON.

    Raises:
        AnswerNotValid: It does not fit.
        TypeError: It can't be encoded.
    """
    schema = thaw(call.response_schema)
    if schema is None:
        return
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.exceptions import best_match
        from jsonschema.validators import validator_for
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError:
        LOG.info("answer_not_checked", key=call.key, reason="the extra 'schema' is not installed")
        return
    sent = msgspec.to_builtins(value, str_keys=True)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        # The empty registry: by default another document, which the server names, would be fetched.
        error = best_match(kind(schema, registry=Registry()).iter_errors(sent))
    except (SchemaError, Unresolvable, RecursionError, re.error) as failure:
        LOG.info("answer_not_checked", key=call.key, reason=f"the schema can't be used: {type(failure).__name__}")
        return
    if error is not None:
        raise AnswerNotValid(call.id, error.json_path, error.message)
