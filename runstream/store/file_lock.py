"""A lock on a file, which the system releases when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from typing import Final

__all__ = ["FileLock"]

_INTERVAL: Final = 0.05  # seconds between two attempts


class FileLock:
    """An exclusive lock, also between two locks of one process. The file contains the process id of the owner.

    Not a lock on the database file itself: SQLite has its own locks on it, which a process loses when it closes any
    descriptor of the file.

    Args:
        path: The file; it is created readable by its owner alone, and stays.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, timeout: float) -> bool:
        """Acquire the lock; return whether it succeeded.

        Args:
            timeout: The longest wait for its owner (seconds).

        Raises:
            OSError: The file can't be opened.
        """
        deadline = time.monotonic() + timeout
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _lock(file):
                if time.monotonic() >= deadline:
                    os.close(file)
                    return False
                time.sleep(min(_INTERVAL, max(deadline - time.monotonic(), 0.001)))
        except BaseException:
            with suppress(OSError):
                os.close(file)
            raise
        self._file = file
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        return True

    def owner(self) -> str:
        """The owner of the lock for a message; "" if it is not known."""
        try:
            with open(self._path, "rb") as file:
                number = file.read(20).decode("ascii")
        except (OSError, ValueError):
            return ""
        if not number.isdigit():
            return ""
        return "another store of this process" if int(number) == os.getpid() else f"another process ({number})"

    def release(self) -> None:
        """Release the lock; further calls do nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            os.lseek(file, 1 << 30, os.SEEK_SET)  # behind the process id, which others can read so
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A file system that has no locks protects nothing, and is no reason to refuse the file.
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True
