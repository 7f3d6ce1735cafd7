"""`make demo`: from nothing to a streamed answer, on this machine."""

import sys

from demo.walkthrough import run

sys.exit(run())
