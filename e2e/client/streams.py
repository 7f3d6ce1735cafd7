"""Open streams against a service, again and again, and check every token of them; runs inside the cluster.

stdin: one line of JSON (`Plan`), then a line a command: `mark NAME` begins a phase, `stop` lets the open
streams end. stdout: `learned` and `running` when it is so far, at last one line of JSON (`report`).
What each prompt has to answer is learned from one quiet pass, before the load or, where there is no service
yet, after it; a prompt is greedy or has a seed, so its answer is always the same.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CONNECT_SECONDS, SILENT_SECONDS = 10, 120
WORDS = ("block", "engine", "lamp", "winter", "sailor", "number", "answer")


@dataclass(frozen=True, kw_only=True)
class Plan:
    base_url: str
    model: str
    concurrency: int = 64
    num_prompts: int = 12
    prompt_words: int = 24
    least_tokens: int = 32
    most_tokens: int = 96
    longest_pause_seconds: float = 1.0
    """Between two streams of one client."""
    learns_first: bool = True
    key: str = ""


class Failed(Exception):
    """The stream did not end as it has to; the message begins with the kind of failure."""


@dataclass(kw_only=True)
class Phase:
    ok: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    ttft: list[float] = field(default_factory=list)


def prompts(plan: Plan) -> list[dict[str, Any]]:
    chosen = random.Random(0)
    found = []
    for number in range(plan.num_prompts):
        words = " ".join(chosen.choices(WORDS, k=plan.prompt_words))
        sampling = {"temperature": 0} if number % 2 else {"temperature": 0.9, "seed": number}
        body = {
            "model": plan.model,
            "prompt": f"{number} {words}",
            "max_tokens": chosen.randint(plan.least_tokens, plan.most_tokens),
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        found.append(body | sampling)
    return found


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a chunked body; ends with its last chunk and raises Failed without one."""
    rest = b""
    while True:
        size = int((await reader.readline() or b"x").split(b";")[0], 16)
        rest += (await reader.readexactly(size + 2))[:-2]
        *whole, rest = rest.split(b"\n")
        for line in whole:
            yield line.decode()
        if size == 0:
            return


@dataclass
class Answer:
    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    is_done: bool = False
    first_after: float = 0.0


class Connection:
    """To the gateway, kept open from request to request where `is_kept`."""

    def __init__(self, plan: Plan, is_kept: bool) -> None:
        self._plan = plan
        self._where = urlsplit(plan.base_url)
        self._is_kept = is_kept
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Raises Failed for everything but a whole, well-formed stream."""
        started = time.monotonic()
        was_open = self._streams is not None
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                head = await self._send(body)
                if not head and was_open:
                    # The server let an idle connection go; every HTTP client asks again on a new one.
                    self.close()
                    head = await self._send(body)
                return await self._read(head, started)
        except TimeoutError:
            raise Failed("silent: no end within the time") from None
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise Failed(f"truncated: {type(error).__name__}") from error
        finally:
            if not self._is_kept:
                self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _send(self, body: dict[str, Any]) -> str:
        """The head of the answer; "" where the connection was closed without a word."""
        if self._streams is None:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._streams = await asyncio.open_connection(
                        self._where.hostname, self._where.port or 80
                    )
            except (OSError, TimeoutError) as error:
                raise Failed(f"connect: {type(error).__name__}") from error
        reader, writer = self._streams
        content = json.dumps(body).encode()
        head = [
            f"POST {self._where.path}/completions HTTP/1.1",
            f"host: {self._where.hostname}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            f"connection: {'keep-alive' if self._is_kept else 'close'}",
        ]
        if self._plan.key:
            head.append(f"authorization: Bearer {self._plan.key}")
        try:
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + content)
            await writer.drain()
            return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return ""
        except ConnectionError:
            return ""

    async def _read(self, head: str, started: float) -> Answer:
        if self._streams is None or not head:
            raise Failed("truncated: no answer")
        reader = self._streams[0]
        code = int(head.split()[1])
        if code != 200:
            said = (await reader.read(2000)).decode(errors="replace")
            self.close()
            raise Failed(f"status {code}: {said[:300]}")
        answer = await read_events(lines(reader), started)
        if "connection: close" in head.lower():
            self.close()
        return answer


async def read_events(events: AsyncIterator[str], started: float) -> Answer:
    answer = Answer()
    async for line in events:
        if line.startswith("data: [DONE]"):
            answer.is_done = True
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                raise Failed(f"error event: {event['error'].get('message', '')[:200]}")
            for choice in event["choices"]:
                if choice["text"] and not answer.text:
                    answer.first_after = time.monotonic() - started
                answer.text += choice["text"]
                answer.finish_reason = choice["finish_reason"] or answer.finish_reason
            if event.get("usage"):
                answer.tokens = event["usage"]["completion_tokens"]
        elif line:
            raise Failed(f"stray line: {line[:60]!r}")
    if not answer.is_done or answer.finish_reason is None:
        raise Failed("truncated: no [DONE] or no finish_reason")
    return answer


class Traffic:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.prompts = prompts(plan)
        self.phases: dict[str, Phase] = {}
        self.phase = ""
        self.mark("start")
        self.answers: list[list[tuple[str, Answer]]] = [[] for _ in self.prompts]
        self.expected: list[Answer] = []
        self.is_stopping = False

    def mark(self, name: str) -> None:
        self.phase = name
        self.phases.setdefault(name, Phase())

    async def learn(self) -> None:
        self.expected = [await Connection(self.plan, False).ask(body) for body in self.prompts]

    async def run_client(self, number: int) -> None:
        chosen = random.Random(number)
        connection = Connection(self.plan, is_kept=number % 2 == 0)
        while not self.is_stopping:
            index = chosen.randrange(len(self.prompts))
            name = self.phase
            try:
                self.answers[index].append((name, await connection.ask(self.prompts[index])))
            except Failed as error:
                connection.close()
                self.phases[name].failures[str(error)] += 1
            await asyncio.sleep(chosen.uniform(0.0, self.plan.longest_pause_seconds))
        connection.close()

    def judge(self) -> None:
        for index, answers in enumerate(self.answers):
            expected = self.expected[index]
            for name, answer in answers:
                phase = self.phases[name]
                seen = (answer.text, answer.finish_reason, answer.tokens)
                if seen == (expected.text, expected.finish_reason, expected.tokens):
                    phase.ok += 1
                    phase.ttft.append(answer.first_after)
                else:
                    phase.failures[difference(index, answer, expected)] += 1

    def report(self) -> dict[str, Any]:
        return {
            name: {
                "ok": phase.ok,
                "failed": phase.failures.total(),
                "failures": dict(phase.failures.most_common(5)),
                "ttft_p50": quantile(phase.ttft, 0.5),
                "ttft_p95": quantile(phase.ttft, 0.95),
            }
            for name, phase in self.phases.items()
        }


def difference(index: int, seen: Answer, expected: Answer) -> str:
    at = next(
        (n for n, pair in enumerate(zip(seen.text, expected.text, strict=False)) if len(set(pair)) > 1), -1
    )
    return (
        f"wrong: prompt {index} differs at character {at} of {len(expected.text)} ({len(seen.text)} came), "
        f"{seen.finish_reason} after {seen.tokens} tokens for {expected.tokens}"
    )


def quantile(values: list[float], share: float) -> float | None:
    return round(sorted(values)[int(share * (len(values) - 1))], 3) if values else None


async def commands() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().strip()


async def main() -> None:
    said = commands()
    plan = Plan(**json.loads(await anext(said)))
    traffic = Traffic(plan)
    if plan.learns_first:
        await traffic.learn()
        print("learned", flush=True)
    clients = [asyncio.create_task(traffic.run_client(number)) for number in range(plan.concurrency)]
    print("running", flush=True)
    async for command in said:
        if command.startswith("mark "):
            traffic.mark(command.removeprefix("mark "))
        elif command == "stop":
            break
    traffic.is_stopping = True
    await asyncio.gather(*clients)
    if not plan.learns_first:
        await traffic.learn()
    traffic.judge()
    print(json.dumps(traffic.report()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
