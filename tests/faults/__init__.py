"""Real faults against every source: a server in another process that misbehaves on purpose, and what must hold.

``python -m tests.faults --cases 10000 --seed 1`` runs cases and prints a table; each case that fails prints the line
that repeats it. A case is a source, what is told, how the server numbers and resumes, up to three faults, and a seed;
everything that the server does follows from it.
"""
