"""`python -m demo_model`: prepare the model and say where it lies."""

import sys

from .errors import DemoModelError
from .prepare import prepare
from .progress import say


def main() -> int:
    try:
        print(prepare())
    except DemoModelError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
