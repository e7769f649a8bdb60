"""Reads events from standard input, one a line, with the models of `ag-ui-protocol`: prints what they refuse."""

from __future__ import annotations

import sys

from ag_ui.core import Event
from pydantic import TypeAdapter, ValidationError

if __name__ == "__main__":
    events = TypeAdapter(Event)
    for line in sys.stdin:
        try:
            events.validate_json(line)
        except ValidationError as error:
            print(str(error).replace("\n", " "), line.strip()[:400])
