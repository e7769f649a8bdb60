"""The forms in which runs, sources and the place of a partition are kept by the broker; each has a version."""

from __future__ import annotations

import zlib
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from runstream.core.request_places import RequestPlace
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.watchdogs import SavedWatch
from runstream.errors import ClusterError, StoreError
from runstream.store.codec import decode_state

__all__ = [
    "PartitionPlace",
    "StoredLane",
    "StoredRecord",
    "StoredSequence",
    "apply_record",
    "read_stored",
    "record_of",
    "write_stored",
]

VERSION: Final = 1
_LARGE: Final = 64 * 2**10  # bytes of a state from which on it is compressed

T = TypeVar("T", bound=Struct)


class StoredRecord(Struct, array_like=True, frozen=True, kw_only=True):
    """A run as the broker keeps it: its state, and the data of :class:`RunRecord` beside it.

    Attributes:
        version: The version of this form.
        scope: Its scope.
        state: Its state (:func:`runstream.encode_state`).
        source: The source that sent its last event; "" if that has no more of it.
        former: The sources that sent it before.
        number: The number of the last item of its source that the state contains. It is beyond that of the stored
            source only where a commit was too large for one step, and its worker ended in the middle.
        watch: The data of the watchdogs; ``None`` if its worker has none.
    """

    version: int = VERSION
    scope: str
    state: bytes
    source: str = ""
    former: list[str] = []
    replaying: bool = False
    replayed_by: tuple[str, int] | None = None
    places: dict[str, RequestPlace] = {}
    paused: int = -1
    interrupted: int = 0
    stalled: int = 0
    unidentified: bool = False
    unnumbered: bool = False
    expired_reason: str | None = None
    size: int = 0
    sizes: dict[str, int] = {}
    bounded: bool = False
    number: int = 0
    watch: SavedWatch | None = None


class StoredSequence(Struct, array_like=True, frozen=True):
    """The state of a :class:`~runstream.core.sequence.SequenceTracker`."""

    after_reconnect: bool = False
    start: str = ""
    last: int | None = None
    streak: int = 0
    next: str | int | None = None
    number: int = 0
    prefix: str | None = None


class StoredLane(Struct, array_like=True, frozen=True, kw_only=True):
    """A source as its worker sees it; the fields are those of :class:`~runstream.cluster.lane.Lane`.

    Attributes:
        version: The version of this form.
        number: The number of the last item that the stored states contain.
        orphans: Events whose run was not seen: the id that each waits for, the written event, its time.
        deadline: The time at which one of its runs passes a limit of the watchdogs (Unix seconds); ``None`` for none.
    """

    version: int = VERSION
    scope: str
    name: str
    number: int = 0
    connection: int = 0
    last_id: str | None = None
    continues: str | None = None
    ended: bool = False
    snapshots: bool = False
    counts: dict[str, int] = {}
    sequence: StoredSequence = StoredSequence()
    identified: bool = False
    claimed: bool = False
    unconfirmed: list[str] = []
    beginnings: list[str] = []
    created: list[str] = []
    open: list[str] = []
    late: list[str] = []
    ended_runs: int = 0
    orphans: list[tuple[str, list[Any], float]] = []
    deadline: float | None = None


class PartitionPlace(Struct, array_like=True, frozen=True, kw_only=True):
    """The place of a partition.

    Attributes:
        version: The version of this form.
        owner: The worker that owns it.
        epoch: The number of the owner among all so far.
        done: The sequence of the last pack that the owner has fed.
        replay: The sequence of the first pack that a takeover has to read.
        at: The time of the last commit (Unix seconds).
    """

    version: int = VERSION
    owner: str = ""
    epoch: int = 0
    done: int = 0
    replay: int = 1
    at: float = 0.0


class _Version(Struct, array_like=True):
    version: int


write_stored: Final = msgspec.msgpack.Encoder().encode
_decode_version: Final = msgspec.msgpack.Decoder(_Version).decode
_decoders: Final[dict[type, msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (StoredRecord, StoredLane, PartitionPlace)
}


def read_stored(kind: type[T], data: bytes) -> T:
    """Bytes of ``write_stored`` as a value.

    Raises:
        ClusterError: A newer release wrote them, or they are none.
    """
    try:
        version = _decode_version(data).version
        if version > VERSION:
            raise ClusterError(
                f"a {kind.__name__} of version {version} was written by a newer release of runstream (this one reads "
                f"up to {VERSION}): update this worker"
            )
        return _decoders[kind].decode(data)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ClusterError(f"a stored {kind.__name__} can't be read ({type(error).__name__})") from None


def record_of(record: RunRecord, state: bytes, number: int, watch: SavedWatch | None = None) -> StoredRecord:
    """A run as it is stored.

    Args:
        record: The run.
        state: Its encoded state.
        number: The number of the last item of its source.
        watch: The data of the watchdogs.
    """
    record.note_growth()
    return StoredRecord(
        scope=record.state.scope,
        number=number,
        state=zlib.compress(state, 1) if len(state) > _LARGE else state,
        source=record.source.name if record.source is not None else "",
        former=[source.name for source in record.former_sources],
        replaying=record.replaying,
        replayed_by=record.replayed_by,
        places=dict(record.places),
        paused=record.paused,
        interrupted=record.interrupted,
        stalled=record.stalled,
        unidentified=record.unidentified,
        unnumbered=record.unnumbered,
        expired_reason=record.expired_reason,
        size=record.size,
        sizes=record.sizes,
        bounded=record.is_bounded,
        watch=watch,
    )


def state_of(found: StoredRecord) -> RunState:
    """The state of a stored run.

    Raises:
        ClusterError: It can't be read.
    """
    try:
        return decode_state(found.state if found.state[:1] == b"{" else zlib.decompress(found.state))
    except (StoreError, zlib.error) as error:
        raise ClusterError(str(error)) from None


def apply_record(record: RunRecord, found: StoredRecord) -> None:
    """Set the data beside the state of a restored run."""
    record.replaying, record.replayed_by = found.replaying, found.replayed_by
    record.places = found.places
    record.paused, record.interrupted, record.stalled = found.paused, found.interrupted, found.stalled
    record.unidentified, record.unnumbered = found.unidentified, found.unnumbered
    record.expired_reason = found.expired_reason
    record.size, record.sizes, record.is_bounded = found.size, dict(found.sizes), found.bounded
    record.room = record.bound - record.size + record.length
