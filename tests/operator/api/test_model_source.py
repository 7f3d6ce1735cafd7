"""A model's URI becomes one of three values, or is refused with the form to write."""

import pytest

from octavo_api.errors import InvalidSpec
from octavo_api.model_source import ClaimModel, FileModel, HubModel, ModelSource, parse_model_uri


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("hf://org/name", HubModel(repo="org/name")),
        ("hf://org/na.me-1@refs/pr/1", HubModel(repo="org/na.me-1", revision="refs/pr/1")),
        ("pvc://weights", ClaimModel(claim="weights")),
        ("pvc://weights/", ClaimModel(claim="weights")),
        ("pvc://weights/llama//8b/", ClaimModel(claim="weights", path="llama/8b")),
        ("file:///smollm2", FileModel(path="smollm2")),
        ("file:////a/./..b", FileModel(path="a/..b")),
    ],
)
def test_a_uri_says_where_the_model_is(uri: str, source: ModelSource) -> None:
    assert parse_model_uri(uri) == source


def test_the_revision_field_is_the_same_as_the_uris() -> None:
    assert parse_model_uri("hf://a/b", "v1") == parse_model_uri("hf://a/b@v1")


@pytest.mark.parametrize(
    "uri",
    [
        "org/name", "s3://bucket/model", "hf://name", "hf://org/name/more", "hf://org/name@", "hf://org/name@-x",
        "pvc://", "pvc://Weights/a", "pvc://weights/../a", "pvc://weights/a?b", "file://smollm2", "file:///",
        "file:///..", "file:///a/../../etc", "file:///a b", "file:///$(HOME)",
    ],
)  # fmt: skip
def test_a_uri_that_names_no_model_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_model_uri(uri)
    assert (refused.value.field, refused.value.value) == ("spec.model.uri", uri)


@pytest.mark.parametrize("uri", ["hf://a/b@v1", "pvc://weights/a", "file:///a"])
def test_a_revision_that_cannot_be_meant_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_model_uri(uri, "v2")
    assert (refused.value.field, refused.value.value) == ("spec.model.revision", "v2")
