from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo_engine.core.block_pool import BlockPool


def index_all(pool: BlockPool, blocks: list[int]) -> None:
    """Make them findable as a chain; block 0 of a pool is hash 0, and so on."""
    parent: int | str = ""
    for block_id in blocks:
        parent = pool.prefixes.insert(block_id, parent, bytes([block_id]), block_id).number


def test_cached_blocks_are_handed_out_least_recently_used_first() -> None:
    pool = BlockPool(3)
    assert sorted(pool.allocate(3)) == [0, 1, 2]
    index_all(pool, [0, 1, 2])
    pool.release(np.array([1]))
    pool.release(np.array([0]))
    pool.release(np.array([2]))
    pool.share([1])
    pool.release(np.array([1]))
    assert [int(pool.allocate(1)[0]) for _ in range(3)] == [0, 2, 1]


def test_blocks_without_content_are_handed_out_before_cached_ones() -> None:
    pool = BlockPool(3)
    table = pool.allocate(3)
    index_all(pool, [int(table[0]), int(table[2])])
    pool.release(table)
    assert pool.allocate(1)[0] == table[1]


def test_the_tail_of_a_prefix_is_evicted_before_its_head() -> None:
    pool = BlockPool(3)
    table = pool.allocate(3)
    index_all(pool, table.tolist())
    pool.release(table)
    assert pool.allocate(3).tolist() == table.tolist()[::-1]


def test_a_shared_block_is_free_only_when_both_let_go() -> None:
    pool = BlockPool(2)
    blocks = pool.allocate(1)
    index_all(pool, blocks.tolist())
    pool.share(blocks.tolist())
    pool.release(blocks)
    assert pool.num_free == 1
    pool.release(blocks)
    assert pool.num_free == 2


def test_a_block_that_is_not_full_cannot_be_shared() -> None:
    pool = BlockPool(1)
    with pytest.raises(AssertionError, match="not full"):
        pool.share(pool.allocate(1).tolist())


def test_releasing_twice_is_a_bug_that_shows() -> None:
    pool = BlockPool(1)
    blocks = pool.allocate(1)
    pool.release(blocks)
    with pytest.raises(AssertionError, match="released twice"):
        pool.release(blocks)


def test_a_reused_block_is_no_longer_found_by_its_old_prefix() -> None:
    pool = BlockPool(1)
    blocks = pool.allocate(1)
    pool.prefixes.insert(5, "", b"12", 0)
    pool.release(blocks)
    assert pool.prefixes.find(5, "", b"12") is not None
    pool.allocate(1)
    assert pool.prefixes.find(5, "", b"12") is None


operations = st.lists(
    st.tuples(st.sampled_from(["allocate", "index", "share", "release"]), st.integers(0, 4)), max_size=60
)


@given(operations)
def test_no_block_is_lost_or_held_by_mistake(operations: list[tuple[str, int]]) -> None:
    pool, contents = BlockPool(8), count()
    tables: list[list[int]] = []
    for operation, number in operations:
        table = tables[number % len(tables)] if tables else []
        if operation == "allocate" and number <= pool.num_free:
            tables.append(pool.allocate(number).tolist())
        elif operation == "index":
            for block_id in table:
                if block_id not in pool.prefixes:
                    pool.prefixes.insert(next(contents), "", b"", block_id)
        elif operation == "share" and all(block_id in pool.prefixes for block_id in table):
            tables.append(list(table))
            pool.share(table)
        elif tables and operation == "release":
            tables.remove(table)
            pool.release(np.array(table, dtype=np.int32))
        held = [block for table in tables for block in table]
        assert pool.num_holders_B.tolist() == [held.count(block) for block in range(8)]
        assert {block for block in range(8) if pool.is_free(block)} == set(range(8)) - set(held)
        assert (pool.num_used, pool.num_free) == (len(set(held)), 8 - len(set(held)))
    rest = pool.allocate(pool.num_free).tolist()
    assert not set(rest) & {block for table in tables for block in table}
