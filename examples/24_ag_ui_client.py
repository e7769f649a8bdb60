"""The client of AG-UI: two tools of this program at the same time, an approval, a question with a schema, one run."""

from __future__ import annotations

import asyncio

from runstream import AgUiClient, AnswerNotValid, Approve, AwaitedCall, CallAnswer, IncompleteStream, Output, Run
from runstream.testing import Question, ScriptedCall, Turn, serve_script

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
TURNS = [
    Turn(text="Let me see. ", calls=[ScriptedCall("show_on_map", {"place": place}) for place in ("mill", "quay")]),
    Turn(approvals={"book_table": {"seats": 2}}),
    Turn(questions=[Question("In which name?", NAME)]),
    Turn(text="See you tonight."),
]


async def show_on_map(place: str) -> str:
    """Show a place on the map.

    Args:
        place: The name of the place.
    """
    print(f"  the {place} is on the map")
    return f"{place} is shown"


def book_table(seats: int) -> str:
    """Executed by the server, once it is approved."""
    return f"a table for {seats}"


def decide(call: AwaitedCall, run: Run) -> CallAnswer | None:
    """Approve the call; a question is left to `main`."""
    if call.name is None:
        return None
    print(f"  {call.name} {call.parsed} is approved")
    return Approve()


async def main() -> None:
    async with serve_script(TURNS, tools=[book_table]) as server:
        client = AgUiClient(server.ag_ui_url, tools=[show_on_map], approve=decide)
        message = {"id": "u1", "role": "user", "content": "Where shall we eat?"}
        async with client:
            async with client.run(threadId="thread-1", messages=[message]) as stream:
                try:
                    await stream.result()
                except IncompleteStream as error:
                    (state,) = error.states  # it waits for the answer to the question
            (question,) = state.run.pending_tool_calls
            try:
                client.answer(state.run_id, {question.id: {"name": 7}})
            except AnswerNotValid as error:
                print(f"  not sent: {error.place} {error.fault}")
            async with client.answer(state.run_id, {question.id: Output({"name": "Ada"})}) as answered:
                run = await answered.result(state.run_id)
        print(f"{run.status}: {answered.latest[run.id].text}")


if __name__ == "__main__":
    asyncio.run(main())
