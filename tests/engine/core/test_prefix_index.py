from octavo_engine.core.prefix_index import PrefixIndex, chain_hash, root_hash


def test_the_same_tokens_after_another_prefix_are_another_block() -> None:
    index = PrefixIndex()
    after_one = index.insert(1, "", b"1", 10)
    after_two = index.insert(2, "", b"2", 20)
    index.insert(13, after_one.number, b"3", 11)
    child = index.insert(23, after_two.number, b"3", 21)
    assert index.find(23, after_two.number, b"3") == child
    assert child.block_id == 21


def test_known_content_keeps_its_first_block() -> None:
    index = PrefixIndex()
    first = index.insert(1, "", b"1", 10)
    assert index.insert(1, "", b"1", 11) is first
    index.forget(11)  # never entered
    assert index.find(1, "", b"1") is first


def test_hashes_that_collide_never_mix_two_prefixes() -> None:
    index = PrefixIndex()
    index.insert(7, "", b"mine", 10)
    assert index.find(7, "", b"yours") is None
    assert index.find(7, "another tenant", b"mine") is None
    yours = index.insert(7, "", b"yours", 11)
    assert index.find(7, "", b"yours") is yours
    assert index.find(7, "", b"mine") is None
    assert (10 in index, 11 in index, len(index)) == (False, True, 1)
    index.forget(10)
    assert index.find(7, "", b"yours") is yours


def test_what_followed_a_forgotten_block_is_not_found_after_its_successor() -> None:
    index = PrefixIndex()
    parent = index.insert(1, "", b"1", 10)
    index.insert(2, parent.number, b"2", 11)
    index.forget(10)
    again = index.insert(1, "", b"1", 12)
    assert index.find(2, again.number, b"2") is None
    assert index.insert(2, again.number, b"2", 13).block_id == 13


def test_hashes_depend_on_salt_tokens_and_what_came_before() -> None:
    hashes = {chain_hash(root_hash(salt), tokens) for salt in ("", "a") for tokens in (b"1", b"2")}
    hashes |= {chain_hash(h, b"1") for h in hashes}
    assert len(hashes) == 8
