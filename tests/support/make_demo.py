"""Writes the demo recordings that the package ships: ``python -m tests.support.make_demo`` from the checkout.

The stories below are the source; the ``.sse`` files under ``runstream/recordings/demo`` are what comes out of them,
byte for byte, and a test holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.story import RunStory
from tests.support.wire import (
    EPOCH,
    Event,
    dumps,
    file_search_result,
    function_tool,
    sse,
    tokens,
    tool_calls,
    usage,
)

__all__ = ["DIRECTORY", "build"]

DIRECTORY: Final = Path(__file__).parents[2] / "runstream" / "demo"

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


def build() -> dict[str, bytes]:
    """Every recording, by file name."""
    streams: dict[str, list[Event]] = {
        "text": _text(),
        **_function_call(),
        "code_interpreter": _code_interpreter(),
        "file_search": _file_search(),
        "failed": _failed(),
        "cancelled": _cancelled(),
        "expired": _expired(),
        "incomplete": _incomplete(),
    }
    return {f"{name}.sse": sse(events) for name, events in streams.items()}


def _text() -> list[Event]:
    story = RunStory("demo_text", at=EPOCH, instructions="Answer warmly, in plain text and few words.")
    story.open(thread=True)
    story.start()
    story.say(
        "Pack for a rainy weekend in layers: a light shell, one warm jumper, and two pairs of dry socks a "
        "day. Keep a spare bag for wet things, a tea towel for your shoes, and room for a good book. "
        "The rain will stop; the book need not.",
        prompt=41,
    )
    story.finish("completed")
    return story.cut()


def _function_call() -> dict[str, list[Event]]:
    story = RunStory(
        "demo_call",
        at=EPOCH + 2,
        instructions="Plan day trips. Look things up rather than guess.",
        tools=[FORECAST, TRAINS],
    )
    story.open(thread=True)
    story.start()
    story.wait(1)
    calls = story.call_functions(
        ("get_forecast", {"city": "Ghent", "day": "Saturday"}),
        ("find_trains", {"origin": "Antwerp", "destination": "Ghent", "day": "Saturday", "before": "10:00"}),
    )
    story.wait(1)
    story.require(calls)
    first = story.cut()

    forecast = {"morning": "dry, 14 °C", "afternoon": "rain from 14:00", "rain_mm": 6.5}
    trains = [{"departs": "09:12", "arrives": "10:04"}, {"departs": "09:42", "arrives": "10:34"}]
    story.answer(calls, [dumps(forecast), dumps(trains)], prompt=188, after=2)
    story.start()
    story.say(
        "Saturday starts dry in Ghent, at 14 °C, with rain from two o'clock. Take the 9:12 and you arrive at "
        "10:04, with nearly four dry hours for the canals; the 9:42 costs you half an hour of them. "
        "Either way, bring an umbrella for the walk back.",
        prompt=274,
    )
    story.finish("completed")
    return {"function_call_1": first, "function_call_2": story.cut()}


def _code_interpreter() -> list[Event]:
    story = RunStory(
        "demo_code",
        at=EPOCH + 40,
        instructions="Do sums with code, then say what they mean.",
        tools=[{"type": "code_interpreter"}],
    )
    story.open()
    story.start()
    story.wait(1)
    story.run_code(RAINFALL, "5 wet days, 35.3 mm\n", prompt=126)
    story.say(
        "It rained on five of the seven days, 35.3 mm in all. "
        "The third day alone brought a third of it, so that was the day for the museum.",
        prompt=231,
    )
    story.finish("completed")
    return story.cut()


def _file_search() -> list[Event]:
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}
    story = RunStory(
        "demo_search",
        at=EPOCH + 42,
        instructions="Answer guests from the house guide.",
        tools=[{"type": "file_search", "file_search": {"ranking_options": ranking}}],
    )
    story.open()
    story.start(after=2)
    story.wait(1)
    story.search_files(file_search_result(GUIDE_ID, GUIDE_NAME, 0.8714, GUIDE), prompt=612)
    story.say(
        f"Yes: every booking may borrow two umbrellas from the stand by the back door{CITED}. "
        "When you come back, please leave them open in the porch to dry.",
        prompt=846,
        citations={CITED: GUIDE_ID},
    )
    story.finish("completed")
    return story.cut()


def _failed() -> list[Event]:
    error = {
        "code": "rate_limit_exceeded",
        "message": "Too many tokens per minute for this model. Please try again in 12 seconds.",
    }
    story = RunStory("demo_failed", at=EPOCH + 80)
    story.open()
    story.start()
    story.open_message()
    written = story.write(
        "Here are three ideas for a wet Sunday. First, the print museum, where you can set a line of type and"
    )
    story.wait(2)
    story.close_message("run_failed")
    story.close_step("failed", spent=usage(33, written), last_error=error)
    story.finish("failed", last_error=error)
    return story.cut()


def _cancelled() -> list[Event]:
    story = RunStory("demo_cancelled", at=EPOCH + 81)
    story.open()
    story.start()
    story.open_message()
    written = story.write(
        "Let us compare every umbrella on the market, beginning with the folding kind. A folding umbrella weighs"
    )
    story.wait(2)
    story.change("cancelling")
    written += story.write(" between two hundred")
    story.wait(1)
    story.close_message("run_cancelled")
    story.close_step("cancelled", spent=usage(29, written))
    story.finish("cancelled")
    return story.cut()


def _expired() -> list[Event]:
    story = RunStory(
        "demo_expired",
        at=EPOCH + 82,
        instructions="Book tables for guests.",
        tools=[TABLE],
        metadata={"booking": "demo-17"},
    )
    story.open()
    story.start()
    story.wait(1)
    calls = story.call_functions(("book_table", {"restaurant": "De Regenboog", "guests": 2, "time": "19:30"}))
    story.wait(1)
    story.require(calls)
    story.now = story.run["expires_at"]
    story.close_step("expired", spent=usage(97, 27), step_details=tool_calls(*calls))
    story.finish("expired")
    return story.cut()


def _incomplete() -> list[Event]:
    history = (
        "The umbrella began as a parasol: in Egypt, Assyria and China it kept off the sun for two thousand "
        "years before anyone thought to wax it, and"
    )
    story = RunStory("demo_incomplete", at=EPOCH + 83, max_completion_tokens=len(tokens(history)))
    story.open()
    story.start()
    story.open_message()
    written = story.write(history)
    story.wait(2)
    story.close_message("max_tokens")
    story.close_step(spent=usage(24, written))
    story.finish("incomplete", incomplete_details={"reason": "max_completion_tokens"})
    return story.cut()


def main() -> None:
    """Write the files."""
    for name, body in build().items():
        (DIRECTORY / name).write_bytes(body)
        print(f"{name}: {len(body)} bytes")


if __name__ == "__main__":
    main()
