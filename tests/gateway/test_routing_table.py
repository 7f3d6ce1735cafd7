"""Names lead to services, services to pods."""

from gateway_manifests import known, pod, raw_service

from octavo_api.spec import InferenceService
from octavo_gateway.known_service import KnownService
from octavo_gateway.routing_table import RoutingTable

OLD, YOUNG = "2026-11-01T10:00:00Z", "2026-11-02T10:00:00Z"


def names(*served: str) -> dict[str, object]:
    return {"uri": "hf://org/name", "servedNames": list(served)}


def serves(table: RoutingTable, model: str, host: str = "") -> str | None:
    service = table.service_for(model, host)
    return service.name if service is not None else None


TWO = RoutingTable.of(
    [
        known("young", created=YOUNG, model=names("shared", "own")),
        known("z-old", created=OLD, model=names("shared")),
    ],
    [],
    {},
)


def test_a_service_without_served_names_serves_its_own_name() -> None:
    table = RoutingTable.of([known("demo")], [], {})
    assert serves(table, "demo") == "demo" and serves(table, "other") is None


def test_the_oldest_service_keeps_a_name_that_two_serve() -> None:
    assert (serves(TWO, "shared"), serves(TWO, "own")) == ("z-old", "young")


def test_of_two_services_of_one_age_the_first_name_keeps_it() -> None:
    both = [known("b", created=OLD, model=names("x")), known("a", created=OLD, model=names("x"))]
    assert serves(RoutingTable.of(both, [], {}), "x") == "a"


def test_the_host_wins_where_its_service_serves_the_name() -> None:
    hosts = ["young", "young:80", "young.n.svc.cluster.local", "young.n:80", "elsewhere", "z-old.n"]
    assert [serves(TWO, "shared", host) for host in hosts] == ["young"] * 4 + ["z-old"] * 2
    assert serves(TWO, "own", "z-old.n") == "young"


def test_models_are_listed_as_the_clients_of_a_host_get_them() -> None:
    assert [(name, service.name) for name, service in TWO.models("young.n")] == [
        ("own", "young"),
        ("shared", "young"),
    ]
    assert [(name, service.name) for name, service in TWO.models("")] == [
        ("own", "young"),
        ("shared", "z-old"),
    ]


def test_a_service_that_is_being_deleted_leaves_its_name_to_the_next() -> None:
    raw = raw_service("old", created=OLD, model=names("shared"))
    raw["metadata"]["deletionTimestamp"] = "2026-11-03T10:00:00Z"
    leaving = KnownService.of(InferenceService.from_manifest(raw))
    table = RoutingTable.of([leaving, known("young", created=YOUNG, model=names("shared"))], [], {})
    assert serves(table, "shared") == "young"


def test_pods_are_endpoints_of_their_service_in_the_order_of_their_names() -> None:
    pods = [pod("c"), pod("a"), pod("b", ready="False"), pod("x", service="other")]
    table = RoutingTable.of([known("demo")], pods, {"demo": "t", "other": "t"})
    assert [each.pod for each in table.endpoints["demo"]] == ["a", "c"]
    assert [each.pod for each in table.endpoints["other"]] == ["x"]
    assert [each.name for each in table.engines] == ["a", "b", "c", "x"]


def test_without_a_token_there_is_no_endpoint_for_its_engines_would_refuse_us() -> None:
    table = RoutingTable.of([known("demo")], [pod("a")], {"demo": ""})
    assert table.endpoints == {} and len(table.engines) == 1


def test_ready_gateways_are_counted_and_we_are_one_before_we_are_seen() -> None:
    gateways = [pod("g1", app="octavo-gateway"), pod("g2", app="octavo-gateway")]
    assert RoutingTable.of([], gateways, {}).num_gateways == 2
    assert RoutingTable.of([], [], {}).num_gateways == 1


def test_what_a_service_says_of_its_gateway_reaches_the_data_path() -> None:
    gateway = {
        "policy": "LeastLoaded",
        "maxQueuedRequests": 7,
        "queueTimeoutSeconds": 8,
        "retries": 9,
        "auth": {"apiKeysSecretRef": {"name": "keys"}},
        "rateLimits": [{"key": "a", "tokensPerMinute": 5}],
    }
    demo = known("demo", gateway=gateway, revisions={"r1": 30, "r2": 70})
    policy = demo.service.policy
    assert (policy.policy, policy.max_queued, policy.queue_timeout_seconds) == ("LeastLoaded", 7, 8)
    assert (policy.retries, policy.has_auth, demo.service.weights) == (9, True, {"r1": 30, "r2": 70})
    assert (demo.service.created, demo.rate_limits[0].tokens_per_minute) == (1793527200, 5)
    assert demo.secrets == {"demo-gateway-token", "keys"}


def test_revisions_are_those_with_pods_and_those_with_weight() -> None:
    service = KnownService.of(InferenceService.from_manifest(raw_service("demo", revisions={"r1": 100})))
    pods = [pod("a", revision="r2"), pod("b", revision="r3", ready="False"), pod("g", app="octavo-gateway")]
    expected = {("demo", "r1"), ("demo", "r2"), ("demo", "r3")}
    assert RoutingTable.of([service], pods, {}).revisions == expected
