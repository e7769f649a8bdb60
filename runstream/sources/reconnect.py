"""The policy of reconnecting: the delay before each attempt, by exponential back-off with jitter. No clock, no I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from runstream.model.validation import check_instances, check_numbers

__all__ = ["Reconnect", "check_reconnect"]

_MIN_BASE: Final = 0.1  # seconds; a server can't reduce the first delay below it


class Reconnect(Struct, frozen=True, kw_only=True):
    """How a source reconnects.

    The count of attempts starts anew where the state of a run has advanced, not with a mere handshake or a message
    that is known: a server that accepts and closes, or that sends the same part of a run again and again, is tried
    ever more slowly, and finally no more. By default that takes ten attempts, 75 seconds on average.

    Attributes:
        initial: Longest delay before the first attempt (seconds).
        maximum: Longest delay before any attempt (seconds).
        factor: Factor by which the delay grows from attempt to attempt; 1 or more.
        jitter: Share of the delay that is random, from 0 (none) to 1 (all), so that many clients of one server that
            went away do not reconnect at the same moment.
        max_attempts: Number of attempts in a row without progress before the source fails; ``None``: no limit.
        max_connection_age: A connection is replaced after this time (seconds), or up to a tenth earlier, at
            random; ``None``: never.
        max_retry_after: Longest wait that a server may ask for with ``Retry-After`` (seconds).

    Raises:
        ValueError: A value outside its range.
        TypeError: A value is no number.
    """

    initial: float = 0.5
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 1.0
    max_attempts: int | None = 10
    max_connection_age: float | None = None
    max_retry_after: float = 300.0

    def __post_init__(self) -> None:
        check_numbers(**{name: getattr(self, name) for name in self.__struct_fields__})
        # `not (a <= b)`, so that NaN is rejected too.
        if not 0 < self.initial < math.inf:
            raise ValueError("initial must be a positive number of seconds")
        if not self.initial <= self.maximum < math.inf:
            raise ValueError("maximum must be a number of seconds, and not less than initial")
        if not 1 <= self.factor < math.inf:
            raise ValueError("factor must be a number, 1 or more")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be from 0 to 1")
        if self.max_attempts is not None and self.max_attempts < 0:
            raise ValueError("max_attempts must not be negative")
        if self.max_connection_age is not None and not self.max_connection_age > 0:
            raise ValueError("max_connection_age must be a positive number of seconds")
        if not self.max_retry_after >= 0:
            raise ValueError("max_retry_after must not be negative")

    def delay(
        self,
        attempt: int,
        *,
        asked: float | None = None,
        base: float | None = None,
        chance: Callable[[], float] = random.random,
    ) -> float:
        """Return the seconds to wait before attempt number ``attempt`` (from 1).

        Args:
            attempt: Its number since the last progress.
            asked: The wait that the server asked for (``Retry-After``, in seconds), if any: the delay is never less,
                within ``max_retry_after``.
            base: The reconnection time that the server set (WHATWG ``retry:``, in seconds), if any: the delay grows
                from it instead of ``initial``, and is never less, within ``max_retry_after``.
            chance: Returns a random number from 0 to 1.
        """
        policy, least = self, 0.0 if asked is None else min(asked, self.max_retry_after)
        if base is not None:
            # With a base of zero, a server that accepts and closes would be called without a pause.
            base = min(max(base, min(self.initial, _MIN_BASE)), max(self.max_retry_after, self.initial))
            policy, least = replace(self, initial=base, maximum=max(base, self.maximum)), max(base, least)
        return max(policy._ceiling(attempt) * (1.0 - self.jitter * chance()), least)

    def _ceiling(self, attempt: int) -> float:
        # Compared as logarithms, because the power might overflow.
        steps = max(attempt - 1, 0)
        if math.log(self.initial) + steps * math.log(self.factor) >= math.log(self.maximum):
            return self.maximum
        return self.initial * self.factor**steps

    def is_exhausted(self, attempt: int) -> bool:
        """Return whether ``attempt`` (from 1) exceeds ``max_attempts``."""
        return self.max_attempts is not None and attempt > self.max_attempts

    def age(self, chance: Callable[[], float] = random.random) -> float | None:
        """Return the seconds after which a new connection is to be replaced; ``None``: never.

        Args:
            chance: Returns a random number from 0 to 1, so that connections made together are not replaced together.
        """
        return None if self.max_connection_age is None else self.max_connection_age * (1.0 - 0.1 * chance())


def check_reconnect(reconnect: object) -> None:
    """Check the option of a source.

    Raises:
        TypeError: It is neither a policy nor ``None``.
    """
    check_instances(Reconnect, "a Reconnect, such as Reconnect(max_attempts=3), or None", reconnect=reconnect)
