"""When to try a lost connection again: exponential back-off with jitter. No clock and no I/O."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct

__all__ = ["Reconnect"]


class Reconnect(Struct, frozen=True, kw_only=True):
    """How a source reconnects.

    The count of attempts starts anew with a message, not with a mere handshake: a server that accepts and closes
    is tried ever more slowly, and in the end given up.

    Attributes:
        initial: Delay before the first attempt (seconds).
        maximum: Longest delay (seconds).
        factor: By which the delay grows from attempt to attempt.
        jitter: Share of the delay that is left to chance, 0 to 1.
        max_attempts: Attempts in a row without a message before the source is given up; ``None``: never.
        max_connection_age: A connection is replaced after this time (seconds); ``None``: never.
    """

    initial: float = 0.5
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5
    max_attempts: int | None = 8
    max_connection_age: float | None = None

    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait before attempt number ``attempt`` (from 1).

        Args:
            attempt: Its number since the last message.
            chance: Gives a number from 0 to 1.
        """
        # Beyond some power every delay is the maximum; larger exponents would overflow.
        full = min(self.maximum, self.initial * self.factor ** min(attempt - 1, 64))
        return full * (1.0 - self.jitter * chance())

    def gives_up(self, attempt: int) -> bool:
        """Whether ``attempt`` (from 1) is one too many."""
        return self.max_attempts is not None and attempt > self.max_attempts
