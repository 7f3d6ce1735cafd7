"""The command line: `python -m images build|load|size [engine operator client misbehaving]`."""

import argparse
import sys

from cluster.errors import ClusterError

from . import size
from .build import build
from .catalogue import IMAGES, MISBEHAVING
from .errors import ImagesError
from .load import load
from .progress import say

BY_NAME = {image.name: image for image in (*IMAGES, MISBEHAVING)}


def main() -> int:
    arguments = parse()
    chosen = tuple(BY_NAME[name] for name in arguments.names) or IMAGES
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
    parser.add_argument(
        "names", nargs="*", metavar="IMAGE", help="engine, operator, client (all three), misbehaving"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BY_NAME.keys():
        parser.error(f"there is no image {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
