"""Keeping states over the end of the process: what is kept, where, and when it is written down."""
