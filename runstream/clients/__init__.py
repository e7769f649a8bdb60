"""Clients: they start runs, answer their calls, cancel and rejoin them."""
