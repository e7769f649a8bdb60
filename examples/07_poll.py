"""Poll a run, as the example of every client does, but done right: it ends however the run ends."""

from __future__ import annotations

import asyncio

from runstream import ActionRequired, PollSource, RunStatusChanged, RunStream


class Client:
    """Stands for a client library, such as `openai.OpenAI().beta.threads.runs`; here it says what a script says."""

    def __init__(self) -> None:
        self.statuses = ["queued", "in_progress", "requires_action", "queued", "in_progress", "incomplete"]
        self.polls = 0

    def retrieve(self, run_id: str) -> dict[str, object]:
        self.polls += 1
        if self.polls == 2:
            raise TimeoutError("the network was slow")  # rides it out
        status = self.statuses.pop(0)
        run: dict[str, object] = {"id": run_id, "object": "thread.run", "status": status}
        if status == "requires_action":
            function = {"name": "get_time", "arguments": "{}"}
            calls = [{"id": "call_1", "type": "function", "function": function}]
            run["required_action"] = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        if status == "incomplete":
            run["incomplete_details"] = {"reason": "max_completion_tokens"}
        return run


def show(signal: RunStatusChanged) -> None:
    print(f"status: {signal.after}")


def answer(signal: ActionRequired) -> None:
    """Submit the outputs here; the run goes on, and so does the polling."""
    print(f"asked for {', '.join(call.name or '?' for call in signal.calls)}")


async def main() -> None:
    client = Client()
    # A plain function that blocks is called in a thread. In earnest, leave the intervals as they are.
    source = PollSource(lambda: client.retrieve("run_1"), interval=0.01, deadline=600.0)
    async with RunStream(source) as stream:
        stream.on(RunStatusChanged, show)
        stream.on(ActionRequired, answer)
        run = await stream.result()
    reason = run.incomplete_details.reason if run.incomplete_details else None
    print(f"{run.id} {run.status}: {reason}")


if __name__ == "__main__":
    asyncio.run(main())
