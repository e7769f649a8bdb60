"""Writes docs/check.md from the rules of the checker, so that the two can't differ. Run from anywhere."""

from __future__ import annotations

from pathlib import Path

from runstream import CHECK_RULES

HERE = Path(__file__).parent
HEAD = """\
# Check a server's streams

<!-- Written by docs/make_check.py from the rules in runstream/checker: change those, then run it. -->

For people who build servers: which rules of its protocol a stream breaks, where, and what a tolerant reader made of it.

    runstream check run.sse
    runstream check http://127.0.0.1:8000/v1/responses -d @request.json
    curl -sN $URL | runstream check -

```text
run.sse  responses, 14 events; rules: 2 broken, 1 noted
broken  sequence_growth x1: The numbers of a response grow.
          event 5, line 13, response.output_text.delta, resp_1: 0 after 3
broken  sequence_gap x1: The numbers of a response have no gap.
          event 6, line 16, response.output_text.delta, resp_1: 5 after 0
note    usage_absent x1: A response object without `usage` breaks readers that expect a null.
          event 1, line 1, response.created, resp_1
read as  resp_1  requires_action  1 message, 11 characters, 1 step, 1 call, 1 awaited call
```

- **Broken** is a rule that the protocol demands: the exit code is 1. A **note** is a legal form that is known to break
  readers; it changes no exit code. Exit code 2 is a usage error, 5 a server that can't be reached. `--json` writes the
  report as one line.
- The dialect is found by the first event that shows it; `--dialect NAME` names it. A stream in which only unknown
  events came is one of another protocol (`unknown_protocol`). Of a [dialect of your own](dialects.md) the rules of
  every stream are checked.
- A URL is requested once. `-H` and `-d` are those of `watch`. `--timeout SECONDS` stops a check of a stream that does
  not end; the rules of the end of a stream are not checked then. The status and the content type of the response are
  checked too.
- The reader of `read as` is the pipeline of this library. Its tolerance is not that of others: a stream that it reads
  well may break every other reader, which is what the rules are for.
- **The report has no text of a message**: names, ids, numbers and sizes only. Of each rule the first ten places are
  kept, and all violations are counted. The memory of a check does not grow with the length of the stream.
- A recording of one connection is one stream. A stream that a reader resumed or joined begins within a run: that is a
  note, and the rules of what was not seen are not checked.

In programs and tests:

```python
import runstream

report = runstream.check("run.sse")  # or bytes, a file, raw events; await runstream.check_url(url) for a live stream
assert report.ok, report.errors
for finding in report.findings:
    print(finding.rule.severity, finding.rule.name, finding.count, finding.places[0].line)
```

A request with a body names its method, and its content type in the headers:

```python
report = await runstream.check_url(
    "http://127.0.0.1:8000/v1/responses",
    method="POST",
    headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    content=json.dumps({"model": "small", "input": "How is the weather?", "stream": True}).encode(),
    timeout=60,
)
```

[examples/31_check_a_server.py](../examples/31_check_a_server.py) checks a server. `CHECK_RULES` has all rules:
"""
TITLES = {
    "all": "Every stream",
    "assistants": "Assistants (`assistants`)",
    "responses": "OpenAI Responses (`responses`)",
    "ag-ui": "AG-UI (`ag-ui`)",
    "langgraph": "LangGraph, run wire (`langgraph`)",
    "langgraph-thread": "LangGraph, thread protocol (`langgraph-thread`)",
}
SOURCES = {
    "all": "WHATWG HTML, section 9.2 (server-sent events), RFC 8259 (JSON) and RFC 9110 (HTTP).",
    "assistants": "OpenAI's description of its API, and the order in which its servers send events.",
    "responses": "OpenAI's description of its API and its WebSocket guide; the numbers are those of one response.",
    "ag-ui": "Version 1.0 of the specification. The dialect counts its rules in every stream (`Stats.violations`).",
    "langgraph": "No specification exists: the rules are the conduct of the server and the needs of its client.",
    "langgraph-thread": "The package `langchain-protocol`, and the conduct of the server.",
}


def table(protocol: str) -> str:
    """The rules of one protocol."""
    lines = [
        f"## {TITLES[protocol]}",
        "",
        SOURCES[protocol],
        "",
        "| rule | of | | demand, or fact |",
        "|---|---|---|---|",
    ]
    for rule in CHECK_RULES[protocol]:
        text = rule.text.replace("|", "\\|")
        lines.append(f"| `{rule.name}` | {rule.place} | {'' if rule.severity == 'error' else 'note'} | {text} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, "\n\n".join(table(protocol) for protocol in CHECK_RULES), ""])


if __name__ == "__main__":
    (HERE / "check.md").write_text(page(), encoding="utf-8")
