"""Record and replay for tests: a source is read once, into a file; later runs of the test replay the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

from runstream.recordings.redaction import Redaction
from runstream.recordings.source import RecordingSource
from runstream.recordings.tee import record
from runstream.sources.base import Source

__all__ = ["Cassette", "CassetteMode"]

CassetteMode: TypeAlias = Literal["once", "none", "all"]
"""``once`` records what has no file yet, ``none`` records nothing, ``all`` records everything again."""


class Cassette:
    """The recordings of one test. The fixture ``cassette`` is one. ::

        async def test_an_answer(cassette: Cassette) -> None:
            async with RunStream(cassette(ResponsesSource(url, body=body))) as stream:
                run = await stream.result()
            assert run.is_complete

    The first run of the test reads the source, and writes the events into ``cassettes/`` beside the test. Later runs
    read the file, without a network. A recording has no credentials. The file of a test that failed while it was
    recorded is not kept.

    Args:
        folder: The folder of the files.
        name: The name of the test; the second source of a test has ``.2`` behind it.
        mode: Whether to record.
        redact: True to leave out of the files what was said.
    """

    def __init__(self, folder: Path, name: str, mode: CassetteMode = "once", *, redact: bool = False) -> None:
        self._folder = folder
        self._name = name
        self._mode = mode
        self._redact = redact
        self._count = 0
        self._recorded: list[tuple[Path, Path]] = []

    def __call__(self, source: Source | Any, *, redact: bool | None = None) -> Source:
        """The source of a test: the one that is passed, recorded, or its recording.

        Args:
            source: What to read if there is no recording: a source, or anything that a stream accepts as one.
            redact: True to leave out of the file what was said; by default that of the constructor.

        Raises:
            FileNotFoundError: There is no recording, and nothing may be recorded.
        """
        self._count += 1
        number = f".{self._count}" if self._count > 1 else ""
        path = self._folder / f"{self._name}{number}.jsonl"
        if self._mode == "none" or (self._mode == "once" and path.exists()):
            if not path.exists():
                raise FileNotFoundError(
                    f"there is no cassette {path}: record it with --runstream-cassettes=once and a server"
                )
            replayed: Source = RecordingSource(path, speed=None)
            return replayed
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.jsonl")
        self._recorded.append((unfinished, path))
        redaction = Redaction() if (self._redact if redact is None else redact) else None
        recorded: Source = record(source, unfinished, overwrite=True, redact=redaction)
        return recorded

    def finish(self, *, keep: bool) -> None:
        """Keep the files that were recorded, or delete them.

        Args:
            keep: False after a failure.
        """
        for unfinished, path in self._recorded:
            if keep and unfinished.exists():
                os.replace(unfinished, path)
            else:
                unfinished.unlink(missing_ok=True)
        self._recorded.clear()
