"""`octavo drain`: what a pod's preStop hook runs. It must start in a blink, so it imports next to nothing."""

import http.client
import json
import sys


def request_drain(port: int, timeout_seconds: float | None) -> int:
    """Ask the server of this pod to drain and wait for it; the exit code.

    When the time passes first the hook has done its part: the server goes on draining.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("POST", "/drain", headers={"content-length": "0"})
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        _say(f"still draining after {timeout_seconds:g} s; the server goes on by itself")
        return 0
    except (OSError, http.client.HTTPException) as error:
        _say(f"no server answers on port {port} ({error}); nothing to drain")
        return 1
    finally:
        connection.close()
    if response.status != 200:
        _say(f"the server refused to drain: {response.status} {body.decode(errors='replace')}")
        return 1
    unfinished = json.loads(body)["unfinished_requests"]
    _say("drained" if unfinished == 0 else f"time is up with {unfinished} requests unfinished")
    return 0


def _say(message: str) -> None:
    sys.stderr.write(f"octavo drain: {message}\n")
