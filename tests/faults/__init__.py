"""Real faults against every source: a server in another process misbehaves on purpose, an oracle judges the result.

``python -m tests.faults --cases 10000 --seed 1`` runs cases and prints a table; for each failed case it prints the line
that repeats it. See README.md.
"""
