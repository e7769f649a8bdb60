"""The entry of one source into the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from runstream.core.state import RunState
from runstream.dialects.auto import AutoDialect
from runstream.dialects.base import Dialect
from runstream.engine.detection import Detection
from runstream.engine.feed import Feeder
from runstream.engine.outputs import Outputs
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.raw import ConnectionEvent
from runstream.model.raw_input import RawInput
from runstream.model.signals import SourceConnected, SourceDisconnected, SourceResumed

if TYPE_CHECKING:
    from runstream.model.common import ErrorObject

__all__ = ["Intake"]


class Intake:
    """The entry of one source: raw events and changes of its connection. Made by :meth:`Engine.intake`.

    Attributes:
        feed: Processes one raw event, or an input that can become one, through the whole pipeline: a JSON envelope as
            bytes, text or a mapping. Input never raises; exceptions of callbacks pass through.
        feed_all: The same for an iterable of inputs, at less cost for each.
        dialect: The name of the source's dialect; ``None`` while it is not found yet, or if it has no name.
    """

    def __init__(self, state: SourceState, outputs: Outputs, router: EventRouter, dialect: Dialect) -> None:
        self.state = state
        self._outputs = outputs
        self._router = router
        self._dialect = dialect
        self.feed: Callable[[RawInput], None]
        self.feed_all: Callable[[Iterable[RawInput]], None]
        self._feeder = Feeder(state, outputs, router, dialect, self._note_connection)
        self.feed, self.feed_all = self._feeder.feed, self._feeder.feed_all
        state.forget = dialect.forget
        state.gaps.note = getattr(dialect, "note_gap", None)
        outputs.dialects[id(dialect)] = dialect
        self.dialect: str | None = None
        if isinstance(dialect, AutoDialect):
            if dialect.dialect is None:
                self._feeder.detection = Detection(dialect, self._feeder, outputs, self._note_dialect)
            else:
                self._note_dialect(dialect)
                self._feeder.dialect = dialect.dialect

    @property
    def name(self) -> str:
        """The source's name, for its signals and rejects."""
        return self.state.name

    @property
    def scope(self) -> str:
        """The name of the scope of its runs."""
        return self.state.scope.name

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues, as the application said; ``None`` if it said nothing."""
        return self.state.continues

    @property
    def last_id(self) -> str | None:
        """The last event id that was received, for resuming."""
        self._outputs.settle_now()
        return self.state.last_id

    @property
    def ended(self) -> bool:
        """True once :meth:`end` was called."""
        return self.state.ended

    @property
    def snapshots(self) -> bool:
        """True if the source sends nothing but whole objects, as polling does."""
        return self.state.snapshots

    @snapshots.setter
    def snapshots(self, value: bool) -> None:
        self.state.snapshots = value

    @property
    def connection(self) -> int:
        """The number of its connection, from 0."""
        return self.state.connection

    def make_decoder(self) -> Dialect:
        """A new decoder of the source's dialect, for items whose events do not enter the engine."""
        return self.state.make_decoder(continues=self.continues)

    @property
    def expects_idle(self) -> bool:
        """True while the dialect waits for a further event or for a silence of the source."""
        return getattr(self._dialect, "expects_idle", False) is True

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the dialect asks the server to go on; ``None`` if it has none.

        Args:
            run_id: The run that is to go on; ``None`` for the last event of the source.
        """
        self._outputs.settle_now()
        return self._dialect.cursor() if run_id is None else self._dialect.cursor(run_id)

    def resume_from(self) -> str | None:
        """The last event id, for a source that asks its server to continue there."""
        return self.last_id

    def open_runs(self) -> tuple[RunState, ...]:
        """The runs that this source sent last and that have not ended, in order of first appearance."""
        return tuple(record.state for record in self.state.open_records())

    @property
    def live(self) -> bool:
        """True if an open run of this source does not wait for action."""
        return self.state.live

    def connected(self, attempt: int = 0) -> None:
        """Note that the source is connected; from the second time on, this is another connection.

        Args:
            attempt: The number of the attempt since the last message; 0 for a first connection.
        """
        self._feeder.take_other(ConnectionEvent(connected=True, attempt=attempt))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Note that the source lost its connection and will try again.

        Args:
            reason: The cause, in words of this library.
            attempt: The number of the next attempt since the last message.
            server_message: The server's own words about the cause; "" if there are none.
        """
        self._feeder.take_other(
            ConnectionEvent(connected=False, attempt=attempt, reason=reason, server_message=server_message)
        )

    def _note_dialect(self, found: AutoDialect) -> None:
        """Note the dialect that was found. Decoders beside the stream are of this dialect from now on."""
        name = self.dialect = found.name
        assert name is not None
        self.state.make_decoder = partial(self.state.make_decoder, dialect=name)
        if self._outputs.on_dialect is not None:
            self._outputs.on_dialect(self.name, name)

    def _note_connection(self, item: ConnectionEvent) -> None:
        """Process a change of the connection; the dialect decodes it afterwards."""
        state = self.state
        if not item.connected:
            state.publish(SourceDisconnected, "disconnected", item.reason, item.attempt, item.server_message)
        elif state.signal_counts.get("connected"):
            self._dialect.connection += 1
            state.reconnected()
            state.publish(SourceResumed, "resumed", "", item.attempt)
        else:
            state.publish(SourceConnected, "connected", "", item.attempt)

    def failed(
        self,
        reason: str,
        attempt: int = 0,
        error: ErrorObject | None = None,
        server_message: str = "",
        run_id: str | None = None,
    ) -> None:
        """Note that the source failed, or that its server sent an error.

        Args:
            reason: The error, in words of this library.
            attempt: The number of the attempt to connect.
            error: The server's error.
            server_message: The server's words about it.
            run_id: The id of the run that it concerns, if the source's state does not have it.
        """
        self.state.publish_error(reason, attempt, error, server_message, run_id)

    def end(
        self,
        reason: str = "the stream ended",
        *,
        last_id: str | None = None,
        attempts: int = 0,
        clean: bool = True,
        server_message: str = "",
    ) -> None:
        """End the source: each open run is paused or interrupted, in order of first appearance.

        Args:
            reason: Why it ended, in words of this library.
            last_id: The last event id, if it is another one than that of the events.
            attempts: The number of attempts to connect since the last message.
            clean: True if it ended by itself; a dialect may then know how its runs have ended.
            server_message: The server's words about it.
        """
        if self.state.ended:
            return
        self._outputs.note_change()
        if events := self._dialect.end(clean):
            self._feeder.route(events, None, self._outputs.clock())
        self._outputs.end_dialect(self._dialect)
        self.state.end(reason, last_id, attempts, server_message)
