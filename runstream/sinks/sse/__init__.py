"""The relay of runs to browsers as server-sent events: `frames` is the wire, `history` the bounded log that all clients
share, `relay` makes the stream of one client, `asgi` serves it.
"""
