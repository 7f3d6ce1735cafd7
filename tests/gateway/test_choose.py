import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from gateway_parts import SERVICE, endpoint, with_policy

from octavo_gateway.choose import choose
from octavo_gateway.routing import Endpoint

REPLICAS = [endpoint(f"pod-{index}") for index in range(4)]
AFFINE = with_policy(policy="PrefixAware")
PREFIXES = [f"prompt {number}".encode() for number in range(400)]


def loads(**in_flight: int) -> Callable[[Endpoint], int]:
    return lambda replica: in_flight.get(replica.pod.replace("-", "_"), 0)


def idle(_: Endpoint) -> int:
    return 0


def test_the_least_loaded_replica_is_chosen() -> None:
    in_flight = loads(pod_0=3, pod_1=2, pod_2=1, pod_3=2)
    assert choose(SERVICE, REPLICAS, in_flight, draw=0.9) == REPLICAS[2]


def test_draws_spread_requests_over_equally_loaded_replicas() -> None:
    draws = random.Random(0)
    chosen = Counter(choose(SERVICE, REPLICAS, idle, draw=draws.random()) for _ in range(1000))
    assert set(chosen) == set(REPLICAS)
    assert min(chosen.values()) > 200


def test_weights_divide_requests_between_revisions() -> None:
    canary = endpoint("canary", revision="rev2")
    service = replace(SERVICE, weights={"rev1": 90, "rev2": 10})
    draws = [number / 1000 for number in range(1000)]
    chosen = [choose(service, [*REPLICAS, canary], idle, draw=draw) for draw in draws]
    assert chosen.count(canary) == 100


def test_a_weighted_revision_without_replicas_leaves_its_share_to_the_others() -> None:
    service = replace(SERVICE, weights={"rev1": 1, "gone": 99})
    assert choose(service, REPLICAS, idle, draw=0.999) in REPLICAS


def test_replicas_of_unweighted_revisions_serve_where_no_other_is() -> None:
    service = replace(SERVICE, weights={"gone": 100, "rev1": 0})
    assert choose(service, REPLICAS, idle, draw=0.5) in REPLICAS


def test_nothing_is_chosen_where_nothing_is_routable_or_all_are_full() -> None:
    service = replace(SERVICE, max_running_requests=2)
    full = loads(pod_0=2, pod_1=2, pod_2=2, pod_3=2)
    assert choose(SERVICE, [], idle, draw=0.5) is None
    assert choose(service, REPLICAS, full, draw=0.5) is None


def test_a_full_revision_passes_requests_to_another() -> None:
    other = endpoint("other", revision="rev2")
    service = replace(SERVICE, weights={"rev1": 100}, max_running_requests=1)
    assert choose(service, [REPLICAS[0], other], loads(pod_0=1), draw=0.5) == other


def test_avoided_replicas_are_taken_only_where_nothing_else_is() -> None:
    for draw in (0.0, 0.3, 0.6, 0.99):
        assert choose(SERVICE, REPLICAS, idle, draw=draw, avoid=set(REPLICAS[:3])) == REPLICAS[3]
    assert choose(SERVICE, REPLICAS[:1], idle, draw=0.5, avoid={REPLICAS[0]}) == REPLICAS[0]


def test_a_continuation_stays_with_its_revision_whatever_the_weights() -> None:
    old = endpoint("old", revision="rev0")
    service = replace(SERVICE, weights={"rev1": 100, "rev0": 0})
    assert choose(service, [*REPLICAS, old], idle, draw=0.5, revision="rev0") == old


def test_a_continuation_waits_for_its_revision_until_that_is_retired() -> None:
    for weights in ({"rev1": 90, "rev0": 10}, {}):
        waited_for = replace(SERVICE, weights=weights)
        assert choose(waited_for, REPLICAS, idle, draw=0.5, revision="rev0") is None
    for weights in ({"rev1": 100, "rev0": 0}, {"rev1": 100}):
        retired = replace(SERVICE, weights=weights)
        assert choose(retired, REPLICAS, idle, draw=0.5, revision="rev0") in REPLICAS


def test_equal_prefixes_meet_on_one_replica_and_different_ones_spread() -> None:
    homes = [choose(AFFINE, REPLICAS, idle, draw=number / 400, prefix=PREFIXES[7]) for number in range(400)]
    assert len(set(homes)) == 1
    spread = Counter(choose(AFFINE, REPLICAS, idle, draw=0.5, prefix=prefix) for prefix in PREFIXES)
    assert min(spread.values()) > 60


def test_a_replica_that_leaves_moves_only_its_own_prefixes() -> None:
    before = {prefix: choose(AFFINE, REPLICAS, idle, draw=0.5, prefix=prefix) for prefix in PREFIXES}
    after = {prefix: choose(AFFINE, REPLICAS[1:], idle, draw=0.5, prefix=prefix) for prefix in PREFIXES}
    assert all(after[prefix] == home for prefix, home in before.items() if home != REPLICAS[0])


def test_an_overfull_home_spills_to_the_same_next_replica_each_time() -> None:
    home = choose(AFFINE, REPLICAS, idle, draw=0.5, prefix=b"p")
    assert home is not None

    def crowded(replica: Endpoint) -> int:
        return 20 if replica == home else 8

    spilled = {choose(AFFINE, REPLICAS, crowded, draw=draw / 10, prefix=b"p") for draw in range(10)}
    assert len(spilled) == 1
    assert home not in spilled


def test_a_home_within_a_quarter_and_one_above_the_mean_keeps_its_prefixes() -> None:
    home = choose(AFFINE, REPLICAS, idle, draw=0.5, prefix=b"p")

    def busy(replica: Endpoint) -> int:
        return 12 if replica == home else 8  # mean 9, bound 12.25

    assert choose(AFFINE, REPLICAS, busy, draw=0.5, prefix=b"p") == home
