"""What a rollout is judged by and the caches do not have: the gateways' figures, and news of new nodes."""

from datetime import datetime, timedelta

from octavo_api.api_server import POD_EVENTS, ApiServer
from octavo_api.names import GATEWAY_NAME
from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.children import Children
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_client import AskTraffic
from octavo_operator.gateway_reports import running_gateways
from octavo_operator.observed import Manifest, ObjectKey
from octavo_operator.rollout_view import canary_step
from octavo_operator.shortage import accelerator_shortage
from octavo_operator.traffic import Window
from octavo_operator.windows import Windows

NODES_ARE_COMING = frozenset({"TriggeredScaleUp", "Nominated"})
"""Reasons of events about a pod: the cluster autoscaler's, and Karpenter's."""
NEWS_FOR = timedelta(minutes=10)
"""An event stays for an hour, long after a node has come or the order for one has failed."""


class RolloutWatch:
    def __init__(self, server: ApiServer, children: Children, ask_traffic: AskTraffic) -> None:
        self._server = server
        self._children = children
        self._ask_traffic = ask_traffic
        self._windows = Windows()

    async def window(
        self, key: ObjectKey, service: InferenceService, record: RolloutRecord | None, now: datetime
    ) -> Window | None:
        """Of the canary's step under way; None where there is none."""
        step = canary_step(service, record) if record is not None else None
        if record is None or step is None or not record.step_started_at:
            self._windows.forget(key)
            return None
        gateways = running_gateways(self._children.gateway_pods.of(key.namespace, GATEWAY_NAME))
        mark = f"{record.revision}/{step.weight_percent}/{record.step_started_at}"
        return self._windows.take(key, mark, await self._ask_traffic(gateways), now)

    def forget(self, key: ObjectKey) -> None:
        self._windows.forget(key)

    async def nodes_are_coming(self, key: ObjectKey, pods: tuple[EnginePod, ...], now: datetime) -> bool:
        """Whether an autoscaler of nodes has lately taken up the pod that finds no accelerator."""
        shortage = accelerator_shortage(pods)
        if shortage is None:
            return False
        about = f"involvedObject.kind=Pod,involvedObject.name={shortage.pod.name}"
        page = await self._server.list_page(POD_EVENTS, key.namespace, {"fieldSelector": about})
        return any(
            event.get("reason") in NODES_ARE_COMING and now - _last_told(event) < NEWS_FOR
            for event in page["items"]
        )


def _last_told(event: Manifest) -> datetime:
    """The times of an event depend on the library that wrote it, and those it does not use are null."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    known = [datetime.fromisoformat(text) for text in times if text]
    return max(known, default=datetime.fromisoformat(event["metadata"]["creationTimestamp"]))
