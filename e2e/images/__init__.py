"""Builds the images of this checkout and brings them into the local cluster.

The Dockerfiles know nothing of this tool: docker, podman or buildah build them unchanged. What it adds: no
image registry is needed, nothing is built or sent twice, and all of it lies in the cache folder.
"""

from .build import build
from .catalogue import CLIENT, ENGINE, IMAGES, MISBEHAVING, OPERATOR, Image
from .errors import ImagesError
from .load import load

__all__ = ["CLIENT", "ENGINE", "IMAGES", "MISBEHAVING", "OPERATOR", "Image", "ImagesError", "build", "load"]
