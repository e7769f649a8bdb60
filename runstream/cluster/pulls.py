"""The pinned reading of one partition of a stream: requests go out, messages come in, in order and without gaps."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

import msgspec

from runstream.cluster.broker import Broker, Message
from runstream.cluster.topology import GROUP

__all__ = ["PinnedReader"]

_AT_ONCE: Final = 64  # messages of one request
_MAX_WAITING: Final = 128  # messages that wait, beyond which requests are for one more only
_WRONG_PIN: Final = "423"


class _Delivered:
    """A message that was delivered.

    Attributes:
        subject: Its subject.
        seq: Its sequence in the stream.
        number: Its number among all that the consumer has delivered.
        data: Its content.
        reply: The subject of its acknowledgement.
    """

    __slots__ = ("data", "number", "reply", "seq", "subject")

    def __init__(self, message: Any) -> None:
        self.subject: str = message.subject
        parts = message.reply.split(".")
        self.seq, self.number = int(parts[-4]), int(parts[-3])
        self.data: bytes = message.data
        self.reply: str = message.reply


class PinnedReader:
    """Requests the messages of one partition, so long as it is open; the requests keep the pin.

    A message that the broker has delivered to another reader, or into a connection that was lost, is not delivered
    again. So the numbers of what arrives are compared, and what lies between is read from the stream.

    Args:
        broker: The broker.
        stream: The stream.
        consumer: The durable consumer of the partition.
        subject: Its filter.
        pin_timeout: Seconds without a request after which the pin is lost.

    Attributes:
        waiting: The messages that were delivered and not taken.
        lost: True if the broker has given the pin to another reader.
        position: The sequence of the last message that was taken; messages up to it are not taken again.
    """

    def __init__(self, broker: Broker, stream: str, consumer: str, subject: str, pin_timeout: float) -> None:
        self.waiting: deque[_Delivered] = deque()
        self.lost = False
        self.position = 0
        self._broker = broker
        self._stream, self._filter = stream, subject
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._unpin = f"CONSUMER.UNPIN.{stream}.{consumer}"
        self._last_number = -1  # until the first message
        self._unsettled: deque[tuple[int, str]] = deque()  # sequence and reply of what was not acknowledged
        self._expires = max(pin_timeout / 3, 0.05)
        self._pin: str | None = None
        self._closed = False
        self._inbox = ""
        self._subscription: Any = None
        self._task: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._open_request = 0  # messages of the last request that may still come
        self._answered = asyncio.Event()

    async def open(self) -> None:
        """Begin to request messages."""
        self._inbox = self._broker.new_inbox()
        self._subscription = await self._broker.subscribe(self._inbox, self._receive)
        self._broker.on_reconnect.add(self._answered.set)  # the request was lost with the connection
        self._task = asyncio.create_task(self._request())

    async def close(self, *, unpin: bool = False) -> None:
        """End the requests.

        Args:
            unpin: True to release the pin at once.
        """
        self._closed = True
        self._broker.on_reconnect.discard(self._answered.set)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
                if unpin and self._pin is not None:
                    await self._broker.api(self._unpin, {"group": GROUP})
            except Exception:
                pass
            self._subscription = None

    @property
    def pinned(self) -> bool:
        """True if messages were delivered with a pin, and it was not lost since."""
        return self._pin is not None and not self.lost

    @property
    def unsettled(self) -> bool:
        """True if messages were taken that are not acknowledged."""
        return bool(self._unsettled)

    async def wait(self, seconds: float) -> bool:
        """Return when a message waits, or after so many seconds; True if one does."""
        if not self.waiting and not self.lost:
            self._arrived.clear()
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the result.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
        return bool(self.waiting)

    async def take(self, limit: int) -> list[Message]:
        """The next messages in order, as many as wait; maybe none.

        Args:
            limit: Their number, at most.
        """
        waiting, found = self.waiting, list[Message]()
        while waiting and len(found) < limit:
            each = waiting[0]
            if each.number != self._last_number + 1:
                if found:
                    break
                until, start = each.seq - 1, self.position + 1
                async for message in self._broker.read(self._stream, self._filter, start, until=until, step=limit):
                    found.append(message)
                    self.position = message.seq
                    if len(found) == limit:
                        return found  # the rest at the next call
                self._last_number = each.number - 1
                continue
            waiting.popleft()
            self._last_number = each.number
            self._unsettled.append((each.seq, each.reply))
            if each.seq > self.position:  # else it was delivered again
                self.position = each.seq
                found.append(Message(each.subject, each.data, each.seq))
        return found

    async def settle(self, seq: int) -> None:
        """Acknowledge all messages up to a sequence."""
        reply = None
        while self._unsettled and self._unsettled[0][0] <= seq:
            reply = self._unsettled.popleft()[1]
        if reply is not None:
            await self._broker.publish(reply, b"+ACK")

    def wake(self) -> None:
        """End a :meth:`wait`."""
        self._arrived.set()

    async def _request(self) -> None:
        """Keep one request open."""
        while not (self.lost or self._closed):
            many = len(self.waiting) < _MAX_WAITING
            if not many:
                await asyncio.sleep(self._expires / 2)  # the pin needs a request now and then
            body: dict[str, Any] = {
                "batch": _AT_ONCE if many else 1,
                "expires": int(self._expires * 1e9),
                "group": GROUP,
            }
            if self._pin is not None:
                body["id"] = self._pin
            self._open_request = body["batch"]
            self._answered.clear()
            try:
                await self._broker.publish(self._subject, msgspec.json.encode(body), reply=self._inbox)
                async with asyncio.timeout(1.5 * self._expires):
                    await self._answered.wait()
            except TimeoutError:
                continue  # the request or its end was lost
            except Exception:
                await asyncio.sleep(self._expires / 2)

    async def _receive(self, message: Any) -> None:
        headers = message.headers
        status = headers.get("Status") if headers else None
        if status is not None:
            if status == _WRONG_PIN:
                self.lost = True
                self._arrived.set()
            if status != "100":
                self._answered.set()
            return
        if headers and (pin := headers.get("Nats-Pin-Id")):
            self._pin = pin
        self.waiting.append(_Delivered(message))
        self._arrived.set()
        self._open_request -= 1
        if self._open_request <= 0:
            self._answered.set()
