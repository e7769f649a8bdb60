"""Messages that are larger than the server accepts: stored as several, and read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from msgspec import structs

from runstream.cluster.broker import Broker, Message, Outgoing
from runstream.errors import ClusterError

__all__ = ["is_part", "join_message", "join_messages", "split_message"]

# A head begins with a byte that no MessagePack has, then the digest of the whole and the number of further parts; each
# of these begins with the digest as well.
_MARK: Final = b"\xc1"
_DIGEST: Final = 8
_COUNT: Final = 4
_HEADERS: Final = 2_048  # bytes of headers and subject, at most
_ATTEMPTS: Final = 5


def split_message(message: Outgoing, limit: int) -> list[Outgoing]:
    """A message as several ones where it is too large; the last one is its head, with its own subject.

    All of them have to be stored in one batch.

    Args:
        message: The message.
        limit: The size of a message that the server accepts (bytes).
    """
    size = limit - _HEADERS
    if len(message.data) <= size:
        return [message]
    data, digest = message.data, blake2b(message.data, digest_size=_DIGEST).digest()
    step = size - _DIGEST - _COUNT - 1
    parts = [data[at : at + step] for at in range(step, len(data), step)]
    head = _MARK + digest + len(parts).to_bytes(_COUNT, "big") + data[:step]
    return [
        *[
            structs.replace(message, subject=_part(message.subject, number), data=digest + part, expect=None)
            for number, part in enumerate(parts, 1)
        ],
        structs.replace(message, data=head),
    ]


async def join_messages(broker: Broker, stream: str, messages: Mapping[str, Message]) -> dict[str, bytes]:
    """The content of messages by subject, with the parts of those that were split."""
    return {subject: await join_message(broker, stream, message) for subject, message in messages.items()}


async def join_message(broker: Broker, stream: str, message: Message) -> bytes:
    """The content of a message, with its parts if it was split.

    Raises:
        ClusterError: Parts are missing.
    """
    for _ in range(_ATTEMPTS):
        data = message.data
        if data[:1] != _MARK:
            return data
        digest = data[1 : 1 + _DIGEST]
        begin = 1 + _DIGEST + _COUNT
        count = int.from_bytes(data[1 + _DIGEST : begin], "big")
        subjects = [_part(message.subject, number) for number in range(1, count + 1)]
        found = await broker.last_of(stream, subjects)
        parts = [found[subject].data for subject in subjects if subject in found]
        if len(parts) == count and all(part[:_DIGEST] == digest for part in parts):
            return data[begin:] + b"".join([part[_DIGEST:] for part in parts])
        await asyncio.sleep(0.05)  # it is being written again
        message = await broker.last(stream, message.subject) or message
    raise ClusterError(f"parts of a large message are missing ({message.subject.split('.')[1]})")


def is_part(subject: str) -> bool:
    """True for the subject of a further part."""
    return "!" in subject


def _part(subject: str, number: int) -> str:
    return f"{subject}!{number}"  # no token has this character
