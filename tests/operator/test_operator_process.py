"""The real process, without a cluster: it must not need one to end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: t}}]
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_it_lives_without_an_api_server_and_ends_at_once_on_sigterm(tmp_path: Path) -> None:
    config, port = tmp_path / "kubeconfig", free_port()
    config.write_text(KUBECONFIG)
    images = ("--engine-image", "e", "--gateway-image", "g")
    command = [sys.executable, "-m", "octavo_operator", *images, "--health-port", str(port)]
    environment = {"KUBECONFIG": str(config), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert _status(f"http://127.0.0.1:{port}/healthz") == 200
        assert _status(f"http://127.0.0.1:{port}/readyz") == 503
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 0, said
        assert time.monotonic() - started < 3
        assert "waiting: InferenceServices cannot be listed" in said and "Traceback" not in said
    finally:
        process.kill()
        process.wait()


def _status(url: str) -> int:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
