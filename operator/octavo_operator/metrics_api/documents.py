"""The JSON that the API server expects of an aggregated API. Pure."""

from collections.abc import Iterable
from typing import Any, Final

from octavo_operator.metrics_api.samples import METRICS, Sample, metric_value

GROUP: Final = "custom.metrics.k8s.io"
VERSION: Final = "v1beta2"
"""Every Kubernetes that Octavo supports asks for it; the older v1beta1 says the same in other words."""
GROUP_VERSION: Final = f"{GROUP}/{VERSION}"
_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    503: "ServiceUnavailable",
}
_GROUP: Final[dict[str, Any]] = {
    "name": GROUP,
    "versions": [{"groupVersion": GROUP_VERSION, "version": VERSION}],
    "preferredVersion": {"groupVersion": GROUP_VERSION, "version": VERSION},
}


def group_list() -> dict[str, Any]:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]}


def group() -> dict[str, Any]:
    return {"kind": "APIGroup", "apiVersion": "v1", **_GROUP}


def resource_list() -> dict[str, Any]:
    """Metrics look like subresources of the pods that they speak of; nothing but `get` can be done with them.

    With a verb such as `delete` the deletion of every namespace would come by here.
    """
    resources = [
        {
            "name": f"pods/{metric}",
            "singularName": "",
            "namespaced": True,
            "kind": "MetricValueList",
            "verbs": ["get"],
        }
        for metric in METRICS
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP_VERSION,
        "resources": resources,
    }


def openapi_v2() -> dict[str, Any]:
    """Nothing, in the words of OpenAPI: without an answer the API server asks, and complains, for ever."""
    return {"swagger": "2.0", "info": {"title": GROUP, "version": VERSION}, "paths": {}}


def openapi_v3() -> dict[str, Any]:
    """The list of documents, of which there are none."""
    return {"paths": {}}


def value_list(metric: str, samples: Iterable[Sample]) -> dict[str, Any]:
    return {
        "kind": "MetricValueList",
        "apiVersion": GROUP_VERSION,
        "metadata": {},
        "items": [metric_value(metric, sample) for sample in samples],
    }


def failure(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }
