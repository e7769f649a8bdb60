"""The files of a command: checked before anything is shown, then read as successive streams."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, cast

from runstream.cli.exit_codes import UsageError
from runstream.cli.stdio import escape
from runstream.errors import DecodeError
from runstream.model.jsontext import decode_json
from runstream.model.raw import Answer, RawItem
from runstream.recordings.reader import UnknownRecordingFormat, read_recording

__all__ = ["GAP", "check", "read", "read_answers", "source_name", "unreadable"]

GAP: Final = 0.03
"""Seconds between two events of a recording without times of arrival."""

STDIN: Final = "-"


def source_name(path: str) -> str:
    """The name of a file in signals and reports."""
    return "<stdin>" if path == STDIN else path


def check(paths: Sequence[str]) -> None:
    """Check that all files can be read, before anything is shown.

    Raises:
        UsageError: A file can't be read; the message names the first one.
    """
    if paths.count(STDIN) > 1:
        raise UsageError("- (standard input) can be read once only; give it once")
    if STDIN in paths and sys.stdin is None:
        raise UsageError("- (standard input) is closed; pipe a recording in, or name a file")
    for path in paths:
        if path == STDIN:
            continue
        try:
            kind = os.stat(path).st_mode
            if stat.S_ISREG(kind):
                with closing(cast(Generator[RawItem], read_recording(path))) as items:
                    next(items, None)
            elif stat.S_ISDIR(kind):
                raise UsageError(f"{escape(path)}: is a directory; name the recordings in it")
            # Anything else (a pipe, a process substitution) can be opened only once: when it is read.
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error


def read(path: str) -> Iterator[RawItem]:
    """Read one recording.

    Raises:
        UsageError: The file can't be read, or not to its end.
    """
    try:
        yield from read_recording(path)
    except (OSError, UnknownRecordingFormat) as error:
        raise unreadable(path, error) from error


def read_answers(paths: Sequence[str], recordings: Sequence[str]) -> list[Answer]:
    """Read the answers of a server, one for each of the first recordings.

    Args:
        paths: The files of the answers, each with one JSON object.
        recordings: The files of the recordings.

    Raises:
        UsageError: A file can't be read or is no JSON object, or there are more answers than recordings.
    """
    if len(paths) > len(recordings):
        raise UsageError(f"--answer: {len(paths)} answers for {len(recordings)} recordings; give one for each at most")
    answers = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            is_object = isinstance(decode_json(data), dict)
        except DecodeError:
            is_object = False
        if not is_object:
            raise UsageError(f"--answer: {escape(path)} is no JSON object")
        answers.append(Answer(data=data))
    return answers


def unreadable(path: str, error: OSError | ValueError) -> UsageError:
    """The usage error for a file that can't be read."""
    name = escape(source_name(path))
    if isinstance(error, UnknownRecordingFormat):
        return UsageError(escape(str(error)))
    if isinstance(error, FileNotFoundError):
        return UsageError(f"{name}: there is no such file")
    if isinstance(error, PermissionError):
        return UsageError(f"{name}: may not be read (permission denied)")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"{name}: can't be read ({escape(reason)})")
