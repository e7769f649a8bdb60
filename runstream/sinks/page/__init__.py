"""The browser sink: a page that shows a stream live.

`views` makes of a state what is shown of it, `frames` finds what has changed for one client; both are pure. `board`
holds what is shown now, `feed` follows a stream and paces the clients, `server` and `asgi` are two doors to it, and
`static` is the page.
"""
