"""Clients that misbehave get clear answers, cost the gateway no memory, and harm nobody else."""

import json
import time
from typing import Any

import pytest

from kubectl import Kubectl
from storytelling import CLIENT, client_pod, inference_service
from traffic import GATEWAY, failed, streams

KEYS = {"good": "octavo-key-good", "rude": "octavo-key-rude"}
LIMIT = 40
SPEC: dict[str, Any] = {
    "auth": {"apiKeysSecretRef": {"name": "keys"}},
    "rateLimits": [{"key": "rude", "requestsPerMinute": LIMIT}],
}


@pytest.fixture
def guarded(kubectl: Kubectl, tiny_model: str) -> Kubectl:
    """A service with two API keys, one of which has a limit."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": KEYS}
    kubectl.apply(secret, client_pod(), inference_service("tiny", tiny_model, gateway=SPEC))
    kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")
    kubectl("wait", "infsvc/tiny", "--for=condition=Ready", "--timeout=180s")
    return kubectl


def memory(kubectl: Kubectl) -> int:
    """KiB that the gateways hold."""
    total = 0
    for pod in kubectl.items("pods", "-l", f"app.kubernetes.io/name={GATEWAY}"):
        said = kubectl("exec", pod["metadata"]["name"], "--", "cat", "/proc/1/status").stdout
        total += next(int(line.split()[1]) for line in said.splitlines() if line.startswith("VmRSS"))
    return total


def test_hostile_clients_are_answered_and_others_are_not_harmed(guarded: Kubectl) -> None:
    host = f"{GATEWAY}.{guarded.namespace}.svc.cluster.local"
    with streams(guarded, "tiny", key=KEYS["good"], concurrency=16) as traffic:
        time.sleep(3)
        before = memory(guarded)
        traffic.phase("rudeness")
        command = ("exec", CLIENT, "--", "python", "/client/hostile.py", host, "tiny", KEYS["rude"])
        answers = json.loads(guarded(*command).stdout)
        after = memory(guarded)
        report = traffic.stop()

    print(json.dumps(answers, indent=2), f"gateways: {before} KiB before, {after} KiB after")
    assert failed(report) == {}
    assert report["rudeness"]["ok"] > 0
    assert answers["good"] == [200, None]
    assert answers["wrong key"] == [401, "invalid_api_key"]
    statuses = {name: found[0] for name, found in answers.items() if isinstance(found, list)}
    assert {name: statuses[name] for name in ("unknown model", "not json", "resume of its own")} == {
        "unknown model": 400,
        "not json": 400,
        "resume of its own": 400,
    }
    assert (statuses["huge body"], statuses["huge header"], statuses["endless header"]) == (413, 431, 431)
    assert {
        statuses[name] for name in ("length and chunks", "two lengths", "chunks, oddly", "negative length")
    } == {400}
    assert answers["half open"][0] in (200, 429)
    assert answers["flood"]["429"] >= 60 - LIMIT and set(answers["flood"]) <= {"200", "429"}
    assert after < before + 60_000, "readers that do not read fill no memory"
