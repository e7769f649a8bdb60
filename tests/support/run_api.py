"""An HTTP server in a process of its own that answers as a test wants: ``python -m tests.support.run_api``.

It gets its answers as JSON on the first line of standard input: for each path a list of ``[status, headers, body]``,
of which the last one is given again and again. It prints its URL, and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.processes import server_process

__all__ = ["HttpAnswer", "run_api"]

HttpAnswer = tuple[int, dict[str, str], Any]


@contextmanager
def run_api(answers: Mapping[str, Sequence[HttpAnswer]]) -> Iterator[str]:
    """Serve in another process; yields the URL."""
    with server_process(__name__, request=json.dumps(dict(answers)).encode() + b"\n") as (url, _):
        assert url.startswith("http://")
        yield url


class _Handler(BaseHTTPRequestHandler):
    answers: dict[str, list[Any]]
    lock = threading.Lock()

    def do_GET(self) -> None:
        with self.lock:
            plan = self.answers.get(self.path.split("?")[0], [[404, {}, {"error": {"message": "not found"}}]])
            status, headers, body = plan.pop(0) if len(plan) > 1 else plan[0]
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _serve() -> None:
    _Handler.answers = json.loads(sys.stdin.readline())
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    _serve()
