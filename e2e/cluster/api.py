"""The few reads of the API server that starting a cluster needs, without waiting for a kubectl each time."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, cast


class ApiClient:
    """Reads as the administrator. Opens a connection a request: the server may not be there yet."""

    def __init__(self, pki: Path, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self.context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def get(self, path: str, timeout: float = 5.0) -> bytes | None:
        """The body of a 200 answer; None for any other answer, or for none at all."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if response.status == 200 else None

    def get_json(self, path: str) -> dict[str, Any] | None:
        body = self.get(path)
        return None if body is None else cast(dict[str, Any], json.loads(body))

    def is_ready(self) -> bool:
        return self.get("/readyz") is not None

    def is_node_ready(self, name: str) -> bool:
        node = self.get_json(f"/api/v1/nodes/{name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def is_deployment_available(self, namespace: str, name: str) -> bool:
        deployment = self.get_json(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}") or {}
        return bool(deployment.get("status", {}).get("availableReplicas"))
