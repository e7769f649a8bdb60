"""Prints the first complete program of a page: the first block of Python that ends with `asyncio.run(...)`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

blocks = re.findall(r"^```python\n(.*?)^```$", Path(sys.argv[1]).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
programs = [block for block in blocks if "asyncio.run(" in block]
if not programs:
    sys.exit(f"{sys.argv[1]} has no complete program")
print(programs[0], end="")
