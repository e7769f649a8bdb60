"""Ids of the AG-UI wire that a server uses again: of a call in the run that continues, and of a whole run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold_sources
from runstream.model.raw import ConnectionEvent, RawEvent, Request
from runstream.model.signals import ActionRequired
from tests.dialects.agui import args, call, event, finished, flat, request, result, started, text

_TOOLS = [{"name": "weather"}]


def asked(arguments: str, id: str = "c1") -> dict[str, Any]:
    """A message of the history that calls the tool."""
    function = {"name": "weather", "arguments": arguments}
    return {"id": "a1", "role": "assistant", "toolCalls": [{"id": id, "type": "function", "function": function}]}


def answered(run: str, *messages: Any, id: str = "c1") -> Request:
    """A request that answers the call."""
    answer = {"id": f"t-{run}", "role": "tool", "toolCallId": id, "content": "sunny"}
    return request(run, tools=_TOOLS, messages=[*messages, answer])


def chunks(arguments: str) -> list[RawEvent]:
    """A call in chunks."""
    cut = len(arguments) // 2
    fields = {"toolCallId": "c1", "toolCallName": "weather"}
    return [event("TOOL_CALL_CHUNK", delta=each, **fields) for each in (arguments[:cut], arguments[cut:])]


def turns(*turns: Any, together: bool) -> Folded:
    """Requests and their answers, on one source or each on its own."""
    found = [("all", flat(turns))] if together else [(f"s{n}", flat(turn)) for n, turn in enumerate(turns)]
    return fold_sources(found, dialect="ag-ui")


def run_of(found: Folded) -> RunState:
    """The only run; no key comes twice, and nothing is rejected."""
    (state,) = found.runs
    keys = [signal.key for signal in found.signals]
    assert len(set(keys)) == len(keys)
    assert not found.rejects
    return state


def requests(found: Folded) -> list[tuple[str, str | None, str | None]]:
    """The calls that were requested: key, name and arguments."""
    asks = [signal for signal in found.signals if isinstance(signal, ActionRequired)]
    return [(each.key, each.name, each.arguments) for signal in asks for each in signal.calls]


OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
FIRST = [request(tools=_TOOLS), started(), call("weather", OSLO), finished()]
ASKED = [("r1/call/c1", "weather", OSLO), ("r1/call/c1~2", "weather", ROME)]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("again", [call("weather", ROME), chunks(ROME), call("weather", ROME)[:-1]])
@pytest.mark.parametrize("outcome", [None, {"type": "success", "pendingToolCallIds": ["c1"]}])
def test_an_id_used_for_a_call_of_the_next_run(together: bool, again: list[RawEvent], outcome: Any) -> None:
    """Other arguments are another call: it is requested under the next key, with its name and arguments."""
    end = finished("r2", outcome=outcome) if outcome is not None else finished("r2")
    found = turns(FIRST, [answered("r2", asked(OSLO)), started("r2"), again, end], together=together)
    state = run_of(found)
    assert state.status == "requires_action"
    assert requests(found) == ASKED
    assert [(each.arguments, each.output) for each in state.tool_calls] == [(OSLO, "sunny"), (ROME, None)]


@pytest.mark.parametrize("together", [False, True])
def test_an_id_used_for_a_call_of_each_run(together: bool) -> None:
    """Each is a step of its own, and has its own result."""
    later = [
        [answered(f"r{n}", asked(before)), started(f"r{n}"), call("weather", city), finished(f"r{n}")]
        for n, before, city in ((2, OSLO, ROME), (3, ROME, '{"city": "Bern"}'))
    ]
    last = [answered("r4", asked('{"city": "Bern"}')), started("r4"), text("Done"), finished("r4")]
    found = turns(FIRST, *later, last, together=together)
    state = run_of(found)
    assert requests(found) == [*ASKED, ("r1/call/c1~3", "weather", '{"city": "Bern"}')]
    assert (state.status, [each.output for each in state.tool_calls]) == ("completed", ["sunny"] * 3)
    assert len({step.id for step in state.steps}) == 3


def test_an_id_used_for_a_call_of_the_server() -> None:
    """The result in the stream is that of the second call; a third one of the run has a step of its own too."""
    third = [call("weather", '{"city": "Bern"}'), result("snow")]
    rest = [started("r2"), call("weather", ROME), result("rain"), third, finished("r2")]
    state = run_of(turns(FIRST, [answered("r2", asked(OSLO)), rest], together=True))
    assert state.status == "completed"
    assert [each.output for each in state.tool_calls] == ["sunny", "rain", "snow"]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("again", [call("weather", '{"city":"Oslo"}'), chunks(OSLO)])
def test_a_call_that_the_next_run_repeats(together: bool, again: list[RawEvent]) -> None:
    """Equal arguments are the call that was answered: servers announce it again, and it is executed once."""
    rest = [started("r2"), again, text("Done"), finished("r2")]
    found = turns(FIRST, [answered("r2", asked(OSLO)), rest], together=together)
    state = run_of(found)
    assert (state.status, requests(found)) == ("completed", ASKED[:1])
    assert [(each.arguments, each.output) for each in state.tool_calls] == [(OSLO, "sunny")]
    assert found.stats.violations["call_announced_again"] == 1


def test_a_repeated_call_that_the_server_waits_for() -> None:
    """It names the call as pending: it is another one, whatever its arguments are."""
    end = finished("r2", outcome={"type": "success", "pendingToolCallIds": ["c1"]})
    found = turns(FIRST, [answered("r2", asked(OSLO)), started("r2"), chunks(OSLO), end], together=False)
    assert requests(found) == [ASKED[0], ("r1/call/c1~2", "weather", OSLO)]


def test_a_second_call_that_may_miss_a_fragment() -> None:
    """It is not requested, as any other."""
    cut = RawEvent(data=b'{"type":"TOOL_CALL_ARGS","toolCallId":"c1","del')
    again = [event("TOOL_CALL_START", toolCallId="c1", toolCallName="weather"), args('{"city":'), cut, args('"R"}')]
    rest = [started("r2"), again, event("TOOL_CALL_END", toolCallId="c1"), finished("r2")]
    found = turns(FIRST, [answered("r2", asked(OSLO)), rest], together=True)
    (state,) = found.runs
    assert (state.status, requests(found)) == ("requires_action", ASKED[:1])


def test_a_second_call_in_a_run_that_fails() -> None:
    """It is a failed step."""
    rest = [started("r2"), chunks(ROME), event("RUN_ERROR", message="no")]
    state = run_of(turns(FIRST, [answered("r2", asked(OSLO)), rest], together=True))
    assert (state.status, [str(step.status) for step in state.steps]) == ("failed", ["completed", "failed"])
    assert json.loads(state.tool_calls[1].arguments or "") == {"city": "Rome"}


# the id of a run

_U1, _U2 = {"id": "u1", "role": "user", "content": "Hi"}, {"id": "u2", "role": "user", "content": "Again"}
_ONE = [request(messages=[_U1]), started(), text("One"), finished()]
_TWO = [request(messages=[_U1, _U2]), started(), text("Two", "m2"), finished()]


@pytest.mark.parametrize("together", [False, True])
def test_a_run_under_the_id_of_another_one_is_counted(together: bool) -> None:
    """Each request begins a run of its own, so their ids should differ."""
    assert turns(_ONE, _TWO, together=together).stats.violations == {"run_id": 1}


def test_a_run_that_begins_twice_on_one_stream_is_counted() -> None:
    """It has ended with an error, so the second one is another run."""
    failed = [started(), event("RUN_ERROR", message="no")]
    assert turns([failed, _ONE[1:]], together=True).stats.violations == {"run_id": 1}


def test_a_run_that_two_sources_send_is_no_violation() -> None:
    """Without a request it may be the same run. A request that continues a run, or an id of its own, is none either."""
    assert turns(_ONE, _ONE[1:], together=False).stats.violations == {}
    assert (
        turns(FIRST, [answered("r2", asked(OSLO)), started("r2"), finished("r2")], together=False).stats.violations
        == {}
    )
    assert turns(_ONE, [request("r2"), started("r2"), finished("r2")], together=False).stats.violations == {}


def test_the_run_that_continues_is_sent_again() -> None:
    """Its start is no gap in it: a message in chunks is whole."""
    again = [started("r2"), event("TEXT_MESSAGE_CHUNK", messageId="m2", delta="Done"), finished("r2")]
    lost = [ConnectionEvent(connected=False), ConnectionEvent(connected=True, attempt=1)]
    connected = ConnectionEvent(connected=True)
    state = run_of(turns([connected, FIRST, answered("r2", asked(OSLO)), again[0], lost, again], together=True))
    assert (state.status, state.text, "m2" in state.partial) == ("completed", "Done", False)
