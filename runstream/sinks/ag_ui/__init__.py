"""AG-UI out: signals of any dialect as a stream of AG-UI events, and the endpoint that serves it to front ends."""
