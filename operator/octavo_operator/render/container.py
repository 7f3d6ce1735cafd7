"""The engine's container: command line, environment, probes, resources, drain."""

from octavo_api.names import (
    CONTAINER_NAME,
    ENGINE_PORT,
    HF_HOME,
    PATH_HEALTH,
    PATH_READY,
    PORT_NAME,
    TERMINATION_LOG,
    TOKEN_SECRET_KEY,
)
from octavo_api.spec import EnvVar, InferenceService
from octavo_operator.observed import Manifest, OperatorDefaults
from octavo_operator.render.engine_args import engine_args
from octavo_operator.render.volumes import volume_mounts

# Between the end of the drain and the kill: time to close connections and leave.
GRACE_MARGIN_SECONDS = 15
# The preStop command outlives the engine's own drain by this, so that it is the engine that cuts.
PRE_STOP_MARGIN_SECONDS = 5
# The server listens before the weights are read, so starting is importing: slow only on a cold, busy node.
STARTUP_PERIOD_SECONDS, STARTUP_FAILURES = 2, 300


def drain_seconds(service: InferenceService) -> int:
    return service.drain.endpoint_propagation_seconds + service.drain.timeout_seconds


def container(
    service: InferenceService, image: str, commit: str | None, defaults: OperatorDefaults
) -> Manifest:
    return {
        "name": CONTAINER_NAME,
        "image": image,
        "args": engine_args(service, commit),
        "env": environment(service, defaults),
        "ports": [{"name": PORT_NAME, "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        "resources": resources(service),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe(PATH_HEALTH, period=STARTUP_PERIOD_SECONDS, failures=STARTUP_FAILURES),
        # The engine reports 503 here when its loop stands still; a busy machine may be slow to answer.
        "livenessProbe": _probe(PATH_HEALTH, period=10, failures=6),
        "readinessProbe": _probe(PATH_READY, period=2, failures=2),
        "lifecycle": {"preStop": {"exec": {"command": _drain_command(service)}}},
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volume_mounts(service),
    }


def environment(service: InferenceService, defaults: OperatorDefaults) -> list[Manifest]:
    variables: list[Manifest] = [{"name": "HOME", "value": "/tmp"}, {"name": "HF_HOME", "value": HF_HOME}]  # noqa: S108
    if defaults.hub_endpoint:
        variables.append({"name": "HF_ENDPOINT", "value": defaults.hub_endpoint})
    if service.model.secret_name:
        token = {"name": service.model.secret_name, "key": TOKEN_SECRET_KEY}
        variables.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": token}})
    return variables + [_variable(variable) for variable in service.engine.env]


def _variable(variable: EnvVar) -> Manifest:
    if variable.value_from is not None:
        return {"name": variable.name, "valueFrom": dict(variable.value_from)}
    return {"name": variable.name, "value": variable.value or ""}


def resources(service: InferenceService) -> Manifest:
    """Memory is never overcommitted: the KV cache takes what it is given."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if service.resources.cpu:
        requests["cpu"] = service.resources.cpu
    if service.resources.memory:
        requests["memory"] = limits["memory"] = service.resources.memory
    if service.accelerator is not None:
        requests[service.accelerator.resource_name] = limits[service.accelerator.resource_name] = "1"
    amounts = {"requests": requests, "limits": limits}
    return {name: amount for name, amount in amounts.items() if amount}


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _drain_command(service: InferenceService) -> list[str]:
    timeout = drain_seconds(service) + PRE_STOP_MARGIN_SECONDS
    return ["octavo", "drain", "--port", str(ENGINE_PORT), "--timeout", str(timeout)]
