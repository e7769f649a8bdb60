"""Dedupe, reduce, derive: pure functions and frozen values from events to signals, for any protocol."""
