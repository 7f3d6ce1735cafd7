"""How kopf is set up."""

from octavo_api.informer import PAGE_SIZE
from octavo_operator.handlers import kopf_settings


def test_kopf_lists_page_by_page_as_the_informers_do() -> None:
    assert kopf_settings().watching.chunk_size == PAGE_SIZE
