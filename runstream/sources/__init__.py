"""Sources of raw items: WebSockets, server-sent events over HTTP, polling, and objects of the program."""
