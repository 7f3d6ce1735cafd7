"""Make the calls that stdin describes and print their results as JSON; runs inside the cluster.

stdin: {"base_url": URL, "concurrency": N, "calls": [CALL, ...]}, where a CALL is one of
  {"chat": {...arguments of chat.completions.create...}}
  {"completion": {...arguments of completions.create...}}
  {"raw": {"method": "POST", "path": "/v1/completions", "body": "text as it is"}}
stdout: one result a call, in order: {"text", "finish_reason", "usage", "num_chunks"} or {"status", "error"}.
"""

import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIStatusError, OpenAI

Result = dict[str, Any]


def text_of(choice: Any) -> str:
    if hasattr(choice, "delta"):
        return choice.delta.content or ""
    return (choice.message.content if hasattr(choice, "message") else choice.text) or ""


def fold(answer: Any, streamed: bool) -> Result:
    parts = list(answer) if streamed else [answer]
    choices = [part.choices[0] for part in parts if part.choices]
    usage = next((part.usage for part in reversed(parts) if part.usage), None)
    return {
        "text": "".join(map(text_of, choices)),
        "finish_reason": choices[-1].finish_reason,
        "usage": usage.model_dump() if usage else None,
        "num_chunks": len(choices),
    }


def raw(base_url: str, method: str, path: str, body: str) -> Result:
    request = urllib.request.Request(
        base_url.removesuffix("/v1") + path,
        method=method,
        data=body.encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "error": json.loads(error.read())["error"]}


def call(client: OpenAI, base_url: str, what: dict[str, Any]) -> Result:
    if "raw" in what:
        return raw(base_url, **what["raw"])
    create = client.chat.completions.create if "chat" in what else client.completions.create
    arguments = what.get("chat") or what["completion"]
    try:
        return fold(create(**arguments), arguments.get("stream", False))
    except APIStatusError as error:
        return {"status": error.status_code, "error": error.body}


def main() -> None:
    todo = json.load(sys.stdin)
    client = OpenAI(base_url=todo["base_url"], api_key="none", max_retries=0, timeout=300)
    with ThreadPoolExecutor(todo.get("concurrency", 1)) as pool:
        json.dump(
            list(pool.map(lambda what: call(client, todo["base_url"], what), todo["calls"])), sys.stdout
        )


if __name__ == "__main__":
    main()
