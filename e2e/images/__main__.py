"""The command line: `python -m images build|load|size [engine operator client]`."""

import argparse
import sys

from cluster.errors import ClusterError

from . import size
from .build import build
from .catalogue import IMAGES
from .errors import ImagesError
from .load import load
from .progress import say


def main() -> int:
    arguments = parse()
    chosen = tuple(image for image in IMAGES if image.name in (arguments.names or {i.name for i in IMAGES}))
    try:
        match arguments.command:
            case "build":
                build(chosen)
            case "load":
                load(chosen)
            case "size":
                size.show(chosen)
    except (ImagesError, ClusterError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="images", description="The images of this checkout, without a registry."
    )
    parser.add_argument("command", choices=["build", "load", "size"])
    parser.add_argument("names", nargs="*", metavar="IMAGE", help="engine, operator, client (all of them)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {image.name for image in IMAGES}:
        parser.error(f"there is no image {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
