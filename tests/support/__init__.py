"""Helpers shared by the tests: builders for the wire, and the generator of the bundled demo recordings."""
