"""Fold recordings into runs: no loop, no threads, one call.

Two files are the two streams of one run: the first asks for function calls, the second answers them.
"""

from __future__ import annotations

from runstream import demo, fold, read_recording


def main() -> None:
    asked = read_recording(demo.load("function_call_1.sse"))
    answered = read_recording(demo.load("function_call_2.sse"))

    first = fold(asked)
    (state,) = first.runs
    print(f"after one stream: {state.status}")
    for call in state.run.pending_tool_calls:
        print(f"  waits for {call.name} {call.arguments}")

    asked = read_recording(demo.load("function_call_1.sse"))
    both = fold([*asked, *answered])
    (state,) = both.runs
    print(f"after both: {state.status}, {state.usage.total_tokens if state.usage else 0} tokens")
    print(f"  {state.text}")
    print(f"  steps: {', '.join(f'{step.type} {step.status}' for step in state.steps)}")

    types = [signal.type for signal in both.signals if signal.type.startswith("run.")]
    print(f"signals of the run: {', '.join(types)}")
    assert types.count("run.action_required") == types.count("run.completed") == 1


if __name__ == "__main__":
    main()
