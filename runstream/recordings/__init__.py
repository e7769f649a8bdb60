"""Recordings of streams in files: reading, writing, redaction, replay and a server; and those of the demo."""
