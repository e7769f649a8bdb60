"""Sinks: signals and states in; logs, a live terminal view and a browser page out."""
