"""Which pods there were at a moment, out of what two watches told."""

from typing import Any

from kstatus import is_serving, pods_at


def pod(uid: str, version: int, service: str = "tiny") -> dict[str, Any]:
    labels = {"serving.octavo.dev/service": service}
    return {"metadata": {"uid": uid, "labels": labels, "resourceVersion": str(version)}}


def event(kind: str, *about: Any) -> dict[str, Any]:
    return {"type": kind, "object": pod(*about)}


CHANGES = [
    event("ADDED", "a", 3),
    event("ADDED", "b", 5),
    event("ADDED", "c", 6, "other"),
    event("MODIFIED", "a", 9),
    event("DELETED", "b", 11),
]


def test_each_pod_is_as_it_was_told_last_before_the_moment() -> None:
    assert list(pods_at(CHANGES, "tiny", 2)) == []
    assert list(pods_at(CHANGES, "tiny", 5)) == [pod("a", 3), pod("b", 5)]
    assert list(pods_at(CHANGES, "tiny", 10)) == [pod("a", 9), pod("b", 5)]
    assert list(pods_at(CHANGES, "tiny", 11)) == [pod("a", 9)]


def test_a_pod_that_drains_or_goes_does_not_serve() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert is_serving({"metadata": {}, "status": status})
    assert not is_serving({"metadata": {}, "status": {}})
    assert not is_serving({"metadata": {"deletionTimestamp": "now"}, "status": status})
    draining = {"serving.octavo.dev/draining": "since"}
    assert not is_serving({"metadata": {"annotations": draining}, "status": status})
