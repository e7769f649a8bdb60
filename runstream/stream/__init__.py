"""Sources, engine and subscribers joined: `run_stream` is the door, `pump` runs the sources, `hub` fans out."""

from __future__ import annotations

from runstream.stream.run_stream import RunStream

__all__ = ["RunStream"]
