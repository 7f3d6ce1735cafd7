"""Quantities mean what the API server takes them for."""

from decimal import Decimal

import pytest
from kubernetes.utils.quantity import parse_quantity as parse_quantity_of_the_client

from octavo_api.errors import InvalidSpec
from octavo_api.quantity import parse_quantity


@pytest.mark.parametrize(
    "text",
    ["0", "1", "1.5", ".5", "500m", "2k", "3M", "4G", "5T", "6P", "7E", "8Ki", "1.5Gi", "9Ei", "100n", "3u"],
)
def test_a_quantity_has_the_value_that_the_official_client_gives_it(text: str) -> None:
    assert parse_quantity(text, field="f") == parse_quantity_of_the_client(text)


@pytest.mark.parametrize(("text", "value"), [("1e3", "1000"), ("12E-1", "1.2"), ("-1", "-1"), ("+2", "2")])
def test_exponents_and_signs_are_read(text: str, value: str) -> None:
    assert parse_quantity(text, field="f") == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "16GB", "1 Gi", "1KI", "four", "1e", "0x10", "1_000"])
def test_no_quantity_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.resources\.cpu .*write a Kubernetes quantity"):
        parse_quantity(text, field="spec.resources.cpu")
