"""The open calls of a run: an immutable collection, compared with a plain tuple over any sequence of changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runstream.core.call_names import base_of
from runstream.core.open_calls import NO_OPEN_CALLS, OpenCall, OpenCalls

NAMES = [f"{base}{suffix}" for base in ("a", "b") for suffix in ("", "~2", "~3")]
CALLS = st.builds(OpenCall, st.sampled_from(NAMES), st.just(""), st.sampled_from(["s1", "s2"])) | st.builds(
    OpenCall, st.sampled_from([name.upper() for name in NAMES]), st.sampled_from(["st1", "st2"]), st.just("")
)


def _check(found: OpenCalls, calls: list[OpenCall]) -> None:
    """All questions have the answers of the plain list."""
    requested = [call for call in calls if not call.step_id]
    of_steps = [call for call in calls if call.step_id]
    assert list(found) == [*requested, *of_steps]
    assert (len(found), bool(found), found.requested_count) == (len(calls), bool(calls), len(requested))
    assert found.requested(2) == requested[:2]
    assert found.ended() == [call for call in of_steps if call.signature]
    for step_id in ("st1", "st2"):
        assert found.of_step(step_id) == [call for call in of_steps if call.step_id == step_id]
    for base in ("a", "b", "A", "B"):
        assert found.of_id(base) == [call for call in of_steps if base_of(call.name) == base]
        mine = [call for call in requested if base_of(call.name) == base]
        for signature in ("", "s1", "s2"):
            equal = [call for call in mine if call.signature == signature]
            assert found.find_requested(base, signature) == next(iter([*equal, *mine]), None)


@given(st.data())
def test_each_version_stays_what_it_was(data: st.DataObject) -> None:
    versions: list[tuple[OpenCalls, list[OpenCall]]] = [(NO_OPEN_CALLS, [])]
    for _ in range(data.draw(st.integers(1, 12))):
        # Mostly the newest version is changed; a change of an older one copies it.
        found, calls = data.draw(st.sampled_from([versions[-1], versions[-1], *versions]))
        names = {call.name for call in calls}
        kind = data.draw(st.sampled_from(["add", "remove", "end"]))
        if kind == "add":
            call = data.draw(CALLS.filter(lambda call: call.name not in names))  # noqa: B023
            versions.append((found.add(call), [*calls, call]))
        elif calls:
            call = data.draw(st.sampled_from(calls))
            if kind == "end" and call.step_id:
                ended = OpenCall(call.name, call.step_id, "end")
                versions.append((found.add(ended), [ended if each is call else each for each in calls]))
            else:
                versions.append((found.remove((call,)), [each for each in calls if each is not call]))
    for found, calls in versions:
        _check(found, calls)
    assert not NO_OPEN_CALLS


def test_the_log_is_bounded() -> None:
    """Calls that are open no more take no memory."""
    calls = NO_OPEN_CALLS
    for number in range(1_000):
        call = OpenCall(f"c{number}", "", "s")
        calls = calls.add(call).remove((call,))
    assert len(calls._log.changes) < 200
