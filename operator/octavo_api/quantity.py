"""Kubernetes quantities ("500m", "2Gi") as numbers.

The official client has a parser too, but importing it costs 0.8 s and 54 MB; this module imports nothing.
"""

import re
from decimal import Decimal
from typing import Final

from octavo_api.errors import InvalidSpec

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i|[numkMGTPE]?)|[eE]([+-]?\d+))")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse_quantity(text: str, *, field: str) -> Decimal:
    """The exact value: cores for cpu, bytes for memory. `field` is named when the text is no quantity."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidSpec(field, text, 'write a Kubernetes quantity such as "500m", "2" or "4Gi"')
    number, suffix, exponent = match.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent))
    if suffix in _BINARY:
        return Decimal(number) * (1 << _BINARY[suffix])
    return Decimal(number).scaleb(_DECIMAL[suffix])
