"""Streams in files: read, write, redact, replay, serve; and the bundled recordings of the demo."""
