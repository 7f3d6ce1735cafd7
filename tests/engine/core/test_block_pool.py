import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo_engine.core.block_pool import BlockPool


def test_blocks_are_handed_out_least_recently_freed_first() -> None:
    pool = BlockPool(3)
    assert pool.allocate(3) == [0, 1, 2]
    pool.release([1])
    pool.release([0])
    assert pool.allocate(2) == [1, 0]


def test_the_end_of_a_released_table_is_reused_before_its_beginning() -> None:
    pool = BlockPool(3)
    pool.release(pool.allocate(3))
    assert pool.allocate(3) == [2, 1, 0]


def test_a_shared_block_is_free_only_when_both_let_go() -> None:
    pool = BlockPool(2)
    blocks = pool.allocate(1)
    pool.share(blocks)
    pool.release(blocks)
    assert pool.num_free == 1
    pool.release(blocks)
    assert pool.num_free == 2


def test_releasing_twice_is_a_bug_that_shows() -> None:
    pool = BlockPool(1)
    pool.release(pool.allocate(1))
    with pytest.raises(AssertionError, match="released twice"):
        pool.release([0])


def test_a_reused_block_is_no_longer_found_by_its_old_prefix() -> None:
    pool = BlockPool(1)
    (block,) = pool.allocate(1)
    pool.prefixes.insert(0, (1, 2), block)
    pool.release([block])
    assert pool.prefixes.find(0, (1, 2)) is not None
    pool.allocate(1)
    assert pool.prefixes.find(0, (1, 2)) is None


@given(st.lists(st.tuples(st.sampled_from(["allocate", "share", "release"]), st.integers(0, 4)), max_size=60))
def test_no_block_is_lost_or_held_by_mistake(operations: list[tuple[str, int]]) -> None:
    pool = BlockPool(8)
    tables: list[list[int]] = []
    for operation, number in operations:
        if operation == "allocate" and number <= pool.num_free:
            tables.append(pool.allocate(number))
        elif tables and operation == "share":
            tables.append(list(tables[number % len(tables)]))
            pool.share(tables[-1])
        elif tables and operation == "release":
            pool.release(tables.pop(number % len(tables)))
        held = {block for table in tables for block in table}
        assert {block for block in range(8) if pool.is_free(block)} == set(range(8)) - held
        assert pool.num_free + pool.num_used == 8
