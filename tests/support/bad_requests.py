"""Requests to make wrong ones of, and what a refusal looks like."""

import json
from typing import Any

import aiohttp

PROMPT = {"model": "tiny", "prompt": "p"}
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}


async def refused(http: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body)
    async with http.post(path, data=data) as response:
        assert response.content_type == "application/json"
        answer = await response.json()
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    return response.status, answer["error"]
