"""Token-checked streams from inside the cluster while a story changes things around them."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubectl import Kubectl
from storytelling import CLIENT

Report = dict[str, dict[str, Any]]
GATEWAY = "octavo-gateway"


@dataclass
class Traffic:
    """Runs until `stop`; what streams fare is counted under the phase in which each began."""

    process: subprocess.Popen[str]
    report: Report | None = None

    def phase(self, name: str) -> None:
        self._say(f"mark {name}")

    def stop(self) -> Report:
        """Let the open streams end, and say how all fared."""
        if self.report is None:
            self._say("stop")
            self.report = json.loads(self._hear("{"))
            print(table(self.report))
        return self.report

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _hear(self, beginning: str) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(beginning), f"the client said {line!r}: {self._error()}"
        return line

    def _error(self) -> str:
        self.process.kill()
        return self.process.communicate()[1][-2000:]


@contextmanager
def streams(kubectl: Kubectl, model: str, *, learns_first: bool = True, **plan: Any) -> Iterator[Traffic]:
    """Traffic through the namespace's gateway from the client pod, which has to be there."""
    command = kubectl.command("exec", "-i", CLIENT, "--", "python", "/client/streams.py")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        traffic = Traffic(process)
        base_url = f"http://{GATEWAY}.{kubectl.namespace}.svc.cluster.local/v1"
        traffic._say(json.dumps({"base_url": base_url, "model": model, "learns_first": learns_first} | plan))
        try:
            if learns_first:
                traffic._hear("learned")
            traffic._hear("running")
            yield traffic
        finally:
            process.kill()


def table(report: Report) -> str:
    lines = [f"{'phase':34} {'ok':>6} {'failed':>7} {'TTFT p50':>9} {'p95 s':>7}"]
    for name, phase in report.items():
        p50, p95 = phase["ttft_p50"] or 0, phase["ttft_p95"] or 0
        lines.append(f"{name:34} {phase['ok']:6} {phase['failed']:7} {p50:9.3f} {p95:7.3f}")
        lines += [f"    {count} x {what}" for what, count in phase["failures"].items()]
    return "\n".join(lines)


def failed(report: Report) -> dict[str, dict[str, int]]:
    """The failures of each phase that has any: empty is what a story wants."""
    return {name: phase["failures"] for name, phase in report.items() if phase["failed"]}
