"""React to streamed agent runs."""
