"""No event loop of your own: a plain `for` over signals, in a script. Handlers may still be coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator

from runstream import ActionRequired, BlockingStream, RawEvent, RunStatusChanged, RunStream, demo, read_recording


async def submit() -> AsyncIterator[RawEvent]:
    """The stream that a server sends when tool outputs are submitted; here it is recorded."""
    for item in read_recording(demo.load("function_call_2.sse")):
        if isinstance(item, RawEvent):
            yield item


async def answer(signal: ActionRequired) -> AsyncIterator[RawEvent]:
    print(f"answering {', '.join(str(call.name) for call in signal.calls)}")
    return submit()


def main() -> None:
    # Offline: a recording. Yours is runstream.connect("wss://...").
    stream = RunStream(read_recording(demo.load("function_call_1.sse")))
    stream.on(ActionRequired, answer)

    # The loop runs in this thread, while the `for` waits for its next signal, and only then.
    with BlockingStream(stream) as blocking:
        for signal in blocking:
            if isinstance(signal, RunStatusChanged):
                print(f"{signal.run_id} is {signal.after}")
        run = blocking.result()
    print(f"{run.id} {run.status}: {stream.latest[run.id].text}")


if __name__ == "__main__":
    main()
