"""Lines that say how far a bench is. On stderr: the table alone goes to stdout."""

import sys
import time

STARTED = time.monotonic()


def say(line: str) -> None:
    print(f"bench {time.monotonic() - STARTED:5.0f} s: {line}", file=sys.stderr, flush=True)
