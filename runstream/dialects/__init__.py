"""Decoders: raw events of one protocol in, events out. One module for each protocol."""
