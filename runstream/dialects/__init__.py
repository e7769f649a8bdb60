"""Decode: raw items of one protocol in, events out. A file a protocol."""
