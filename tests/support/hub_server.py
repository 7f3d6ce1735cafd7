"""A model hub small enough to read: what `huggingface_hub` asks of the real one when it fetches a model.

    python tests/support/hub_server.py --root DIR --port P [--host H] [--token T] [--gated ORG/NAME ...]

Repositories are the folders DIR/ORG/NAME. Revision `main` and any name in NAME/.revisions (one a line) lead
to one commit, which is the hash of the files. With --token every request must bring it; a gated repository
shows its names to all and its files to nobody. Standard library only: a user story runs this file in a pod.
"""

import argparse
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REVISIONS_FILE = ".revisions"
_INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)/?")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class HubSettings:
    root: Path
    token: str | None = None
    gated: frozenset[str] = frozenset()
    failing_status: int | None = None
    """Answer everything with this status, as a hub in trouble does."""


@dataclass(frozen=True)
class Repository:
    folder: Path

    def files(self) -> list[Path]:
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return [path for path in found if path.name != REVISIONS_FILE]

    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for path in self.files():
            digest.update(f"{path.relative_to(self.folder)} {etag(path)}\n".encode())
        return digest.hexdigest()

    def has_revision(self, revision: str) -> bool:
        listed = self.folder / REVISIONS_FILE
        names = listed.read_text().split() if listed.is_file() else []
        return revision in {"main", self.commit(), *names}


def etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Refusal(Exception):
    """An answer that is not a success; `code` is the hub's X-Error-Code."""

    def __init__(self, status: HTTPStatus, code: str | None = None, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message or status.phrase}
        if code is not None:
            self.headers["X-Error-Code"] = code


class HubHandler(BaseHTTPRequestHandler):
    server: "HubServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests look at `HubServer.requests`."""

    def _answer(self, has_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        try:
            self._check_health_and_token()
            if found := _TREE.fullmatch(path):
                self._send_json(tree(self._repository(found)), has_body)
            elif found := _INFO.fullmatch(path):
                self._send_json(info(found["repo"], self._repository(found)), has_body)
            elif found := _FILE.fullmatch(path):
                self._send_file(found["repo"], self._repository(found), found["path"], has_body)
            else:
                raise Refusal(HTTPStatus.NOT_FOUND)
        except Refusal as refusal:
            self._send(refusal.status, refusal.headers, b"{}", has_body)

    def _check_health_and_token(self) -> None:
        settings = self.server.settings
        if settings.failing_status is not None:
            raise Refusal(HTTPStatus(settings.failing_status))
        given = self.headers.get("authorization")
        if settings.token is not None and given != f"Bearer {settings.token}":
            # The real hub hides a private repository from strangers, and names a bad token as such.
            if given is None:
                raise Refusal(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Repository not found")
            raise Refusal(HTTPStatus.UNAUTHORIZED, None, "Invalid credentials in Authorization header")

    def _repository(self, found: re.Match[str]) -> Repository:
        folder = self.server.settings.root / found["repo"]
        if ".." in found["repo"] or not folder.is_dir():
            raise Refusal(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        repository = Repository(folder)
        if found["revision"] is not None and not repository.has_revision(found["revision"]):
            raise Refusal(HTTPStatus.NOT_FOUND, "RevisionNotFound", "Revision not found")
        return repository

    def _send_file(self, name: str, repository: Repository, path: str, has_body: bool) -> None:
        if name in self.server.settings.gated:
            raise Refusal(HTTPStatus.FORBIDDEN, "GatedRepo", "Access to this model is restricted")
        file = repository.folder / path
        if file not in repository.files():
            raise Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        content = file.read_bytes()
        headers = {
            "ETag": f'"{etag(file)}"',
            "X-Repo-Commit": repository.commit(),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        status, body = HTTPStatus.OK, content
        if wanted := _RANGE.fullmatch(self.headers.get("range", "")):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            body = content[start : end + 1]
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
        self._send(status, headers, body, has_body)

    def _send_json(self, value: object, has_body: bool) -> None:
        headers = {"Content-Type": "application/json"}
        self._send(HTTPStatus.OK, headers, json.dumps(value).encode(), has_body)

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes, has_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)


def info(name: str, repository: Repository) -> dict[str, object]:
    siblings = [{"rfilename": str(path.relative_to(repository.folder))} for path in repository.files()]
    return {"id": name, "modelId": name, "sha": repository.commit(), "private": False, "siblings": siblings}


def tree(repository: Repository) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": str(path.relative_to(repository.folder)),
            "size": path.stat().st_size,
            "oid": etag(path)[:40],
        }
        for path in repository.files()
    ]


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, settings: HubSettings, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), HubHandler)
        self.settings = settings
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


@contextmanager
def running_hub(settings: HubSettings) -> Iterator[HubServer]:
    with HubServer(settings) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--token")
    parser.add_argument("--gated", nargs="*", default=[], metavar="ORG/NAME")
    options = parser.parse_args()
    settings = HubSettings(root=options.root, token=options.token, gated=frozenset(options.gated))
    with HubServer(settings, options.host, options.port) as hub:
        print(f"serving {options.root} as a model hub on {hub.url}", flush=True)
        hub.serve_forever()


if __name__ == "__main__":
    main()
