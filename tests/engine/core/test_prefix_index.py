from octavo_engine.core.prefix_index import ROOT, PrefixIndex


def test_the_same_tokens_after_another_prefix_are_another_block() -> None:
    index = PrefixIndex()
    after_one = index.insert(ROOT, (1, 1), 10)
    after_two = index.insert(ROOT, (2, 2), 20)
    index.insert(after_one, (3, 3), 11)
    index.insert(after_two, (3, 3), 21)
    found = index.find(after_two, (3, 3))
    assert found is not None
    assert found[0] == 21


def test_known_content_keeps_its_first_block() -> None:
    index = PrefixIndex()
    number = index.insert(ROOT, (1, 2), 10)
    assert index.insert(ROOT, (1, 2), 11) == number
    assert index.find(ROOT, (1, 2)) == (10, number)
    index.forget(11)  # never entered
    assert len(index) == 1


def test_a_chain_whose_parent_was_forgotten_is_not_found_under_a_new_parent() -> None:
    index = PrefixIndex()
    parent = index.insert(ROOT, (1, 2), 10)
    index.insert(parent, (3, 4), 11)
    index.forget(10)
    new_parent = index.insert(ROOT, (1, 2), 12)
    assert index.find(new_parent, (3, 4)) is None
