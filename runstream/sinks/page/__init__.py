"""The browser sink: a page that shows a stream live.

`views` builds the content of the page for a state, `diff` finds the changes for one client; both are pure. `snapshot`
keeps the present content, `feed` follows a stream and paces the clients, `server` and `asgi` serve it, and `static` is
the page.
"""
