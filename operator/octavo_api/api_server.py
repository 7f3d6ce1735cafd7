"""The thinnest typed way to the Kubernetes API: dictionaries in, dictionaries out, named errors.

The official client does connections, TLS and credentials; its thousand generated models stay unused.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from octavo_api.names import API_VERSION, KIND, PLURAL

Manifest = dict[str, Any]

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """An answer of the API server that is not a success; status 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server's paths name it."""

    api_version: str
    kind: str
    plural: str

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
        return "/".join(parts)


INFERENCE_SERVICES = Resource(API_VERSION, KIND, PLURAL)
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
SERVICES = Resource("v1", "Service", "services")
PODS = Resource("v1", "Pod", "pods")
SECRETS = Resource("v1", "Secret", "secrets")
POD_EVENTS = Resource("v1", "Event", "events")
"""The same events as EVENTS, in the form whose object can be selected by its fields."""
POD_AUTOSCALERS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SCALED_OBJECTS = Resource("keda.sh/v1alpha1", "ScaledObject", "scaledobjects")
"""KEDA's; the cluster may not serve it."""
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
JOBS = Resource("batch/v1", "Job", "jobs")
DISRUPTION_BUDGETS = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
ROLES = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")


OnAnswer = Callable[[str, str, int], None]
"""Method or WATCH, path, and the answer's status, 0 when there was no answer."""


class MayNotWrite(aiohttp.ClientError):
    """Whoever gave the permission to write has taken it back."""


class ApiServer:
    """One connection pool to one cluster.

    While `may_write` says no, every write raises ApiError 0. It is asked at the last moment before a request
    goes out, also when aiohttp sends one a second time: a process that slept in between must not act.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        may_write: Callable[[], bool] = lambda: True,
        on_answer: OnAnswer = lambda *_: None,
    ) -> None:
        self._may_write = may_write
        self._on_answer = on_answer
        tracing = aiohttp.TraceConfig()
        tracing.on_request_start.append(_remember_method)
        tracing.on_connection_reuseconn.append(self._require_permission)
        tracing.on_connection_create_end.append(self._require_permission)
        configuration.trace_configs = [tracing]
        # The client looks into ~/.netrc, in a thread, before each request, which costs more than all the rest
        # of it, if it is to heed the environment; that is needed for a proxy alone.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
        self._client = ApiClient(configuration=configuration)

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None,
        *,
        max_connections: int = 32,
        may_write: Callable[[], bool] = lambda: True,
        on_answer: OnAnswer = lambda *_: None,
    ) -> "ApiServer":
        """With a kubeconfig file, or as the service account of this pod when there is none.

        Each watch keeps one connection; 0 connections are as many as it takes.
        """
        configuration = Configuration()
        if kubeconfig is not None:
            # The official client has no annotations here.
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, client_configuration=configuration
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        configuration.connection_pool_maxsize = max_connections
        return cls(configuration, may_write=may_write, on_answer=on_answer)

    async def _require_permission(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: object
    ) -> None:
        if context.method != "GET" and not self._may_write():
            raise MayNotWrite("this process may not write now")

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        try:
            return await self.request("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def serves(self, resource: Resource) -> bool:
        """Whether the cluster knows the kind, and lets us know that."""
        try:
            found = await self.request("GET", f"/apis/{resource.api_version}")
        except ApiError as error:
            if error.status in (403, 404):
                return False
            raise
        return any(item["name"] == resource.plural for item in found["resources"])

    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str]
    ) -> Manifest:
        page = await self.request("GET", resource.path(namespace), query=query)
        for item in page["items"]:
            # A list leaves out of its items what it says of itself.
            item["apiVersion"], item["kind"] = resource.api_version, resource.kind
        return page

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        """Never over an object that is there: that raises ApiError 409."""
        return await self.request("POST", resource.path(namespace), body=manifest)

    async def replace(
        self, resource: Resource, namespace: str, manifest: Manifest, *, field_manager: str
    ) -> Manifest:
        """Only the version that stands in the manifest: another one there raises ApiError 409."""
        path = resource.path(namespace, manifest["metadata"]["name"])
        return await self.request("PUT", path, query={"fieldManager": field_manager}, body=manifest)

    async def apply(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Server-side apply; fields that another manager holds become ours."""
        query = {"fieldManager": field_manager, "force": "true"}
        return await self.request("PATCH", path, query=query, body=manifest, content_type=APPLY)

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Some fields of an object that stands; None takes one away. A uid in it must be the object's own."""
        query = {"fieldManager": field_manager}
        return await self.request("PATCH", path, query=query, body=manifest, content_type=MERGE)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Only the object with this uid: one that was made anew under the same name stays."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except ApiError as error:
            if error.status != 404:
                raise

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        response = await self._send(method, path, query or {}, body, content_type, REQUEST_TIMEOUT)
        try:
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _no_answer(error) from error
        if response.status >= 400:
            raise _refusal(response, data)
        try:
            answer: Manifest = json.loads(data)
        except ValueError as error:
            raise _no_answer(error) from error
        return answer

    async def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, silent_after: float
    ) -> AsyncGenerator[Manifest, None]:
        """The events of one watch; ends when the server ends it, raises when it says nothing for too long."""
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=silent_after)
        response = await self._send("GET", resource.path(namespace), query, None, "application/json", timeout)
        try:
            if response.status >= 400:
                raise _refusal(response, await response.read())
            while line := await response.content.readline():
                yield json.loads(line)
        # ValueError: the line is no JSON, because the stream broke in it or a proxy wrote into it.
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _no_answer(error) from error
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Manifest | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            # The credentials of a pod expire: the client's configuration renews them here.
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            url = self._client.configuration.host + path
            if query:
                url += "?" + urlencode(query)
            answer = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=limits
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._on_answer("WATCH" if "watch" in query else method, path, 0)
            raise _no_answer(error) from error
        response: aiohttp.ClientResponse = answer.response
        self._on_answer("WATCH" if "watch" in query else method, path, response.status)
        return response


async def _remember_method(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
) -> None:
    context.method = params.method


def _no_answer(error: Exception) -> ApiError:
    return ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}")


def _refusal(response: aiohttp.ClientResponse, data: bytes) -> ApiError:
    retry_after = response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdigit() else None
    try:
        status = json.loads(data)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = response.reason or "", data[:200].decode(errors="replace")
    return ApiError(response.status, reason or str(response.reason), message, seconds)
