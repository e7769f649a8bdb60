"""The input that a stream could not use: the reason why no run was seen, as far as it is known."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["UnusedInput"]


class UnusedInput(NamedTuple):
    """The counts of a whole stream.

    Attributes:
        rejected: How many raw events could not be used.
        unknown: How many events had a name that their dialect does not know.
        reason: The reason of the first reject, which has no text of a message; "" for none.
    """

    rejected: int = 0
    unknown: int = 0
    reason: str = ""

    def describe(self) -> str:
        """The counts and the reason in words; "" if all input was used."""
        parts: list[str] = []
        if self.rejected:
            counted = (
                "1 input was rejected" if self.rejected == 1 else f"{self.rejected} inputs were rejected, the first"
            )
            parts.append(f"{counted}: {self.reason}")
        if self.unknown == 1:
            parts.append("1 event is unknown in the dialect of its source")
        elif self.unknown:
            parts.append(f"{self.unknown} events are unknown in the dialect of their source")
        return "; ".join(parts)
