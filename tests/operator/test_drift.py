from typing import Any

import pytest

from octavo_operator.drift import holds, stamped


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 1, "filled": "in"}, {"a": 1}),
        ({"containers": [{"name": "side"}, {"name": "e", "x": 1}]}, {"containers": [{"name": "e"}]}),
        ({"args": ["a", "b"]}, {"args": ["a", "b"]}),
        ({"tolerations": [{"key": "a", "effect": "b"}]}, {"tolerations": [{"key": "a"}]}),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1000m"}}),
        ({"sizeLimit": "1Gi"}, {"sizeLimit": "1024Mi"}),
        ({"env": [{"name": "A"}]}, {"env": [{"name": "A", "value": ""}]}),
        ({}, {"enabled": False}),
        (
            {"rules": [{"apiGroups": [""], "verbs": ["get"]}]},
            {"rules": [{"apiGroups": [""], "verbs": ["get"]}]},
        ),
        (
            {"ports": [{"port": 80, "nodePort": 31000, "targetPort": "http"}]},
            {"ports": [{"port": 80, "targetPort": "http"}]},
        ),
        ({"ownerReferences": [{"uid": "b"}, {"uid": "a"}]}, {"ownerReferences": [{"uid": "a"}]}),
    ],
)
def test_what_others_fill_in_is_no_drift(live: Any, wanted: Any) -> None:
    assert holds(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({"containers": [{"name": "e", "image": "x"}]}, {"containers": [{"name": "e", "image": "y"}]}),
        ({"containers": []}, {"containers": [{"name": "e"}]}),
        ({"args": ["b", "a"]}, {"args": ["a", "b"]}),
        ({"args": ["a", "b", "c"]}, {"args": ["a", "b"]}),
        ({"limits": {"memory": "2Gi"}}, {"limits": {"memory": "1Gi"}}),
        ({"args": ["1"]}, {"args": ["1000m"]}),
        ({"enableServiceLinks": True}, {"enableServiceLinks": False}),
        ({"replicas": 3}, {"replicas": 0}),
        ({"selector": {"app": "a", "pod": "b"}}, {"selector": {"app": "a"}}),
        ({"rules": [{"verbs": ["get", "list"]}]}, {"rules": [{"verbs": ["get"]}]}),
        ({"rules": [{"verbs": ["get"], "resourceNames": ["a"]}]}, {"rules": [{"verbs": ["get"]}]}),
        ({"rules": [{"verbs": ["get"]}, {"verbs": ["*"]}]}, {"rules": [{"verbs": ["get"]}]}),
        ({"ownerReferences": [{"uid": "b"}]}, {"ownerReferences": [{"uid": "a"}]}),
    ],
)
def test_a_changed_field_of_ours_is_drift(live: Any, wanted: Any) -> None:
    assert not holds(live, wanted)


def test_the_stamp_changes_with_the_manifest_and_not_with_the_order() -> None:
    one = stamped({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    same = stamped({"spec": {"y": 2, "x": 1}, "metadata": {"name": "a"}})
    other = stamped({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert one == same
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
