"""Writes the demo recordings that the package ships: ``python -m tests.support.make_demo`` from the checkout.

The scripts below are the source of the ``.sse`` files under ``runstream/recordings/demo``. A test compares them byte by
byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from runstream.testing import Json, OpenMessage, Script, WireEvent
from tests.support.scripts import LabelledScript
from tests.support.wire import (
    EPOCH,
    dumps,
    file_citation,
    file_search_call,
    file_search_result,
    function_tool,
    logs,
    required_action,
    run_object,
    step_delta,
    thread_object,
    tokens,
    usage,
)

__all__ = ["DIRECTORY", "build"]

DIRECTORY: Final = Path(__file__).parents[2] / "runstream" / "recordings" / "demo"

_CITY = {"type": "string", "description": "A city, such as Ghent"}
_DAY = {"type": "string", "description": "A day of the coming week, such as Saturday"}

FORECAST: Final = function_tool(
    "get_forecast", "What the weather will be in a city on a day", {"city": _CITY, "day": _DAY}
)
TRAINS: Final = function_tool(
    "find_trains",
    "Trains between two cities that leave before an hour",
    {
        "origin": _CITY,
        "destination": _CITY,
        "day": _DAY,
        "before": {"type": "string", "description": "Latest departure, as HH:MM"},
    },
)
TABLE: Final = function_tool(
    "book_table",
    "Book a table at a restaurant",
    {
        "restaurant": {"type": "string"},
        "guests": {"type": "integer"},
        "time": {"type": "string", "description": "Arrival, as HH:MM"},
    },
)

RAINFALL: Final = """\
millimetres = [4.2, 0.0, 11.5, 7.8, 0.4, 2.1, 9.3]
wet = [day for day in millimetres if day > 1]
print(f"{len(wet)} wet days, {sum(millimetres):.1f} mm")
"""

GUIDE_ID: Final = "file-demo-house-guide-0001"
GUIDE_NAME: Final = "house_guide.txt"
GUIDE: Final = """\
Check-in is from 15:00. The umbrella stand is by the back door: each booking may borrow two umbrellas. \
Please leave them open in the porch to dry. Quiet hours are from 22:00.\
"""
CITED: Final = f"【4:0†{GUIDE_NAME}】"


class DemoScript(LabelledScript):
    """A run with the fields of the demo recordings.

    Args:
        label: A part of every id (``run_<label>_0001``).
        at: Time of the run's creation (Unix seconds).
        thread: Whether the thread is created by the same request.
        fields: Further fields of the run, or other values of its fields.
    """

    def __init__(self, label: str, *, at: int, thread: bool = False, **fields: Any) -> None:
        resources: Json = {"code_interpreter": {"file_ids": []}}
        super().__init__(label, at=at, tool_resources=resources, reasoning_effort=None, **fields)
        if thread:
            created = thread_object(self.run["thread_id"], created_at=at)
            self.streams[0].insert(0, WireEvent("thread.created", created, at, ""))

    def emit(self, name: str, data: Json | str) -> Script:
        """Append an event; a run has its fields in the order of current servers."""
        if isinstance(data, dict) and data.get("object") == "thread.run":
            data = {field: data[field] for field in run_object()}
        return super().emit(name, data)

    def write(self, message: OpenMessage, text: str) -> int:
        """Append text to a message, token by token; the marker ``CITED`` in it cites the house guide."""
        pieces = tokens(text)
        for piece in pieces:
            if piece != CITED:
                message.write(piece)
                continue
            start = len(message.message["content"][0]["text"]["value"])
            message.write(piece, annotation=file_citation(piece, start, GUIDE_ID))
            delta: Any = self.streams[-1][-1].data
            # Only the delta has a quote.
            delta["delta"]["content"][0]["text"]["annotations"][0]["file_citation"]["quote"] = ""
        return len(pieces)

    def sse_of_last_stream(self) -> bytes:
        """The last stream that has ended."""
        return b"".join(event.sse() for event in self.streams[-2])


def build() -> dict[str, bytes]:
    """Every recording, by file name."""
    streams = {
        "text": _text(),
        **_function_call(),
        "code_interpreter": _code_interpreter(),
        "file_search": _file_search(),
        "failed": _failed(),
        "cancelled": _cancelled(),
        "expired": _expired(),
        "incomplete": _incomplete(),
    }
    return {f"{name}.sse": body for name, body in streams.items()}


def _text() -> bytes:
    script = DemoScript("demo_text", at=EPOCH, thread=True, instructions="Answer warmly, in plain text and few words.")
    script.start()
    script.write_message(
        "Pack for a rainy weekend in layers: a light shell, one warm jumper, and two pairs of dry socks a "
        "day. Keep a spare bag for wet things, a tea towel for your shoes, and room for a good book. "
        "The rain will stop; the book need not.",
        prompt=41,
    )
    script.finish("completed")
    return script.sse_of_last_stream()


def _function_call() -> dict[str, bytes]:
    script = DemoScript(
        "demo_call",
        at=EPOCH + 2,
        thread=True,
        instructions="Plan day trips. Look things up rather than guess.",
        tools=[FORECAST, TRAINS],
    )
    script.start().wait()
    step = script.call_functions(
        ("get_forecast", {"city": "Ghent", "day": "Saturday"}),
        ("find_trains", {"origin": "Antwerp", "destination": "Ghent", "day": "Saturday", "before": "10:00"}),
    )
    script.wait().require(step)
    first = script.sse_of_last_stream()

    forecast = {"morning": "dry, 14 °C", "afternoon": "rain from 14:00", "rain_mm": 6.5}
    trains = [{"departs": "09:12", "arrives": "10:04"}, {"departs": "09:42", "arrives": "10:34"}]
    script.submit(step, dumps(forecast), dumps(trains), prompt=188)
    script.write_message(
        "Saturday starts dry in Ghent, at 14 °C, with rain from two o'clock. Take the 9:12 and you arrive at "
        "10:04, with nearly four dry hours for the canals; the 9:42 costs you half an hour of them. "
        "Either way, bring an umbrella for the walk back.",
        prompt=274,
    )
    script.finish("completed")
    return {"function_call_1": first, "function_call_2": script.sse_of_last_stream()}


def _code_interpreter() -> bytes:
    script = DemoScript(
        "demo_code",
        at=EPOCH + 40,
        instructions="Do sums with code, then say what they mean.",
        tools=[{"type": "code_interpreter"}],
    )
    script.start().wait()
    step = script.open_calls().open(0, "code_interpreter")
    pieces = tokens(RAINFALL)
    for piece in pieces:
        step.grow(0, piece)
    script.wait(2)
    step.put_out(0, [logs("5 wet days, 35.3 mm\n")]).close(usage=usage(126, len(pieces) + 1))
    script.write_message(
        "It rained on five of the seven days, 35.3 mm in all. "
        "The third day alone brought a third of it, so that was the day for the museum.",
        prompt=231,
    )
    script.finish("completed")
    return script.sse_of_last_stream()


def _file_search() -> bytes:
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}
    script = DemoScript(
        "demo_search",
        at=EPOCH + 42,
        instructions="Answer guests from the house guide.",
        tools=[{"type": "file_search", "file_search": {"ranking_options": ranking}}],
    )
    script.wait().start().wait()
    step = script.open_calls()
    call = file_search_call(script._call_id(step.step_id, 0))
    script.emit("thread.run.step.delta", step_delta(step.step_id, {"index": 0, **call}))
    script.wait(2)
    # No delta has the results; the final step has them.
    step.calls.append(file_search_call(call["id"], [file_search_result(GUIDE_ID, GUIDE_NAME, 0.8714, GUIDE)]))
    step.close(usage=usage(612, 19))
    script.write_message(
        f"Yes: every booking may borrow two umbrellas from the stand by the back door{CITED}. "
        "When you come back, please leave them open in the porch to dry.",
        prompt=846,
    )
    script.finish("completed")
    return script.sse_of_last_stream()


def _failed() -> bytes:
    error = {
        "code": "rate_limit_exceeded",
        "message": "Too many tokens per minute for this model. Please try again in 12 seconds.",
    }
    script = DemoScript("demo_failed", at=EPOCH + 80)
    message = script.open_message()
    written = script.write(
        message,
        "Here are three ideas for a wet Sunday. First, the print museum, where you can set a line of type and",
    )
    script.wait(2)
    message.close("run_failed", step="failed", usage=usage(33, written), last_error=error)
    script.finish("failed", last_error=error)
    return script.sse_of_last_stream()


def _cancelled() -> bytes:
    script = DemoScript("demo_cancelled", at=EPOCH + 81)
    message = script.open_message()
    written = script.write(
        message,
        "Let us compare every umbrella on the market, beginning with the folding kind. A folding umbrella weighs",
    )
    script.wait(2).change("cancelling")
    written += script.write(message, " between two hundred")
    script.wait()
    message.close("run_cancelled", step="cancelled", usage=usage(29, written))
    script.finish("cancelled")
    return script.sse_of_last_stream()


def _expired() -> bytes:
    script = DemoScript(
        "demo_expired",
        at=EPOCH + 82,
        instructions="Book tables for guests.",
        tools=[TABLE],
        metadata={"booking": "demo-17"},
    )
    script.start().wait()
    step = script.call_functions(("book_table", {"restaurant": "De Regenboog", "guests": 2, "time": "19:30"}))
    script.wait().change("requires_action", required_action=required_action(*step.calls))
    script.now = script.run["expires_at"]
    step.close("expired", usage=usage(97, 27))
    script.finish("expired")
    return script.sse_of_last_stream()


def _incomplete() -> bytes:
    history = (
        "The umbrella began as a parasol: in Egypt, Assyria and China it kept off the sun for two thousand "
        "years before anyone thought to wax it, and"
    )
    script = DemoScript("demo_incomplete", at=EPOCH + 83, max_completion_tokens=len(tokens(history)))
    message = script.open_message()
    written = script.write(message, history)
    script.wait(2)
    message.close("max_tokens", usage=usage(24, written))
    script.finish("incomplete", incomplete_details={"reason": "max_completion_tokens"})
    return script.sse_of_last_stream()


def main() -> None:
    """Write the files."""
    for name, body in build().items():
        (DIRECTORY / name).write_bytes(body)
        print(f"{name}: {len(body)} bytes")


if __name__ == "__main__":
    main()
