"""How each phase of the operator's bench is measured."""

import asyncio
import re
import time
from collections.abc import Callable
from itertools import cycle, islice

import audit
from bench.figures import Latencies, Memory, Rest, Restart
from bench.progress import say
from bench.scratch_operator import ScratchOperator
from bench.watched import MARK, Manifest, Watched
from install import InstallFailed
from kubectl import Kubectl
from octavo_api.api_server import INFERENCE_SERVICES, PODS, ApiServer

CREATORS = 8
FIELD_MANAGER = "octavo-bench"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IDLE_CPU_SHARE = 0.2
IDLE_SECONDS = 3
SAY_EVERY_SECONDS = 10.0
READ = re.compile(
    r'apiserver_request_total\{.*resource="(?:inferenceservices|secrets)".*verb="GET".*\} (\S+)$',
    re.MULTILINE,
)

Key = tuple[str, str]


def inference_service(key: Key, replicas: int) -> Manifest:
    return {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": INFERENCE_SERVICES.kind,
        "metadata": {"namespace": key[0], "name": key[1]},
        "spec": {
            # A whole commit, so that nobody has to ask a hub.
            "model": {"uri": f"hf://bench/model@{COMMIT}"},
            "replicas": replicas,
            "resources": {"cpu": "10m", "memory": "64Mi"},
        },
    }


async def become_ready(
    seen: Watched, operator: ScratchOperator, keys: list[Key], replicas: int, patience: float
) -> float:
    """Seconds until all services are Ready."""
    started = time.monotonic()
    queue = iter(keys)

    async def create() -> None:
        for key in queue:
            await seen.server.create(INFERENCE_SERVICES, key[0], inference_service(key, replicas))

    await asyncio.gather(*(create() for _ in range(CREATORS)))
    say(f"{len(keys)} InferenceServices are made")
    await until(
        lambda: len(seen.ready) == len(keys),
        lambda: f"{len(seen.ready)} of {len(keys)} services are Ready",
        operator,
        patience,
    )
    return time.monotonic() - started


async def until(
    is_true: Callable[[], bool], words: Callable[[], str], operator: ScratchOperator, patience: float
) -> None:
    started = said = time.monotonic()
    while not is_true():
        operator.require_alive()
        now = time.monotonic()
        if now - started > patience:
            raise InstallFailed(f"not done after {patience:.0f} s: {words()}; see {operator.log}")
        if now - said > SAY_EVERY_SECONDS:
            said = now
            say(words())
        await asyncio.sleep(0.2)


async def until_idle(operator: ScratchOperator, patience: float = 180.0) -> float:
    """When the process became idle, in time.monotonic()."""
    deadline = time.monotonic() + patience
    quiet_since, used = time.monotonic(), operator.cpu_seconds()
    while time.monotonic() - quiet_since < IDLE_SECONDS:
        if time.monotonic() > deadline:
            raise InstallFailed(f"the operator is still busy after {patience:.0f} s; see {operator.log}")
        began = time.monotonic()
        await asyncio.sleep(0.5)
        before, used = used, operator.cpu_seconds()
        if (used - before) / (time.monotonic() - began) > IDLE_CPU_SHARE:
            quiet_since = time.monotonic()
    return quiet_since


def memory(operator: ScratchOperator) -> Memory:
    return Memory(resident=operator.memory_mb("VmRSS"), peak=operator.memory_mb("VmHWM"))


async def latencies(seen: Watched, keys: list[Key], *, rate: float, seconds: float) -> Latencies:
    """Change one service after the other, each with a number of its own."""
    sent: dict[int, float] = {}
    tasks = []
    started = time.monotonic()
    for number, key in enumerate(islice(cycle(keys), int(rate * seconds)), 1):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        sent[number] = time.monotonic()
        tasks.append(asyncio.create_task(change(seen.server, key, number)))
        if number % int(rate * 30) == 0:
            say(f"{number} changes sent, {len(seen.seen_at)} seen")
    await asyncio.gather(*tasks)
    for _ in range(100):
        if len(seen.seen_at) == len(sent):
            break
        await asyncio.sleep(0.1)
    found = [seen.seen_at[number] - at for number, at in sent.items() if number in seen.seen_at]
    return Latencies.of(found, rate=rate, missing=len(sent) - len(found))


async def change(server: ApiServer, key: Key, number: int) -> None:
    body = {"spec": {"service": {"annotations": {MARK: str(number)}}}}
    await server.merge(INFERENCE_SERVICES.path(*key), body, field_manager=FIELD_MANAGER)


async def rest(kubectl: Kubectl, operator: ScratchOperator, namespaces: set[str], seconds: float) -> Rest:
    position, reads, cpu = audit.now(), num_reads(kubectl), operator.cpu_seconds()
    started = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - started
    return Rest(
        seconds=took,
        writes=tuple(audit.writes_since(position, namespaces)),
        reads_a_second=(num_reads(kubectl) - reads) / took,
        cpu_share=(operator.cpu_seconds() - cpu) / took,
    )


def num_reads(kubectl: Kubectl) -> float:
    """Of InferenceServices and Secrets by name: nobody else in the bench asks for these."""
    return sum(float(number) for number in READ.findall(kubectl("get", "--raw", "/metrics").stdout))


async def restart(operator: ScratchOperator, namespaces: set[str]) -> Restart:
    position = audit.now()
    operator.stop()
    started, num_lists = time.monotonic(), filled(operator)
    operator.start()
    await until(lambda: filled(operator) > num_lists, lambda: "the caches are being filled", operator, 120)
    listed = time.monotonic()
    idle = await until_idle(operator)
    return Restart(
        listed_after=listed - started,
        steady_after=idle - started,
        writes=tuple(audit.writes_since(position, namespaces)),
        memory=memory(operator),
    )


def filled(operator: ScratchOperator) -> int:
    """How often the operator has said so in its log."""
    return operator.log.read_text(errors="replace").count("caches are filled")


async def gone(server: ApiServer, operator: ScratchOperator, namespaces: set[str], patience: float) -> float:
    """Seconds until the pods of deleted services are gone, the gateways' too."""
    started = time.monotonic()
    await asyncio.gather(
        *(server.request("DELETE", INFERENCE_SERVICES.path(namespace)) for namespace in namespaces)
    )
    while left := await num_pods(server, namespaces):
        if time.monotonic() - started > patience:
            raise InstallFailed(f"{left} pods are left {patience:.0f} s after their services were deleted")
        say(f"{left} pods are left")
        operator.require_alive()
        await asyncio.sleep(2)
    return time.monotonic() - started


async def num_pods(server: ApiServer, namespaces: set[str]) -> int:
    pages = [await server.list_page(PODS, namespace, {"limit": "1"}) for namespace in namespaces]
    return sum(len(page["items"]) + page["metadata"].get("remainingItemCount", 0) for page in pages)
