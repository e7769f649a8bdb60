"""Durable states: the contract of a store, and the stores in memory and in SQLite."""
