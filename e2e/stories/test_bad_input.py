"""Bad input gets a clear error, and the next request works."""

import json
from typing import Any

from kubectl import Kubectl
from storytelling import inference_service

GOOD = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0}}


def post(body: str, path: str = "/v1/completions") -> dict[str, Any]:
    return {"raw": {"method": "POST", "path": path, "body": body}}


def test_each_bad_request_gets_an_openai_error_and_harms_no_other(
    serve: Any, client: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    bad = {
        "malformed JSON": (post('{"model": "tiny", '), 400),
        "an unknown model": (post('{"model": "gpt-9", "prompt": "a"}'), 404),
        "a negative max_tokens": (post('{"model": "tiny", "prompt": "a", "max_tokens": -1}'), 400),
        "a prompt over the context": (
            post('{"model": "tiny", "prompt": "%s"}' % ("hello " * 5000)),
            400,
        ),
        "a wrong type": (post('{"model": "tiny", "messages": 7}', "/v1/chat/completions"), 400),
        "an unknown path": (post("{}", "/v1/nothing"), 404),
    }

    answers = client("tiny", *(each for call, _ in bad.values() for each in (call, GOOD)))

    for (what, (_, status)), wrong, good in zip(bad.items(), answers[::2], answers[1::2], strict=True):
        assert wrong["status"] == status, (what, wrong)
        assert set(wrong["error"]) >= {"message", "type", "param", "code"}, what
        assert wrong["error"]["message"], what
        assert good["usage"]["completion_tokens"] == 4, f"the request after {what}"


def test_a_wrong_field_is_refused_with_the_remedy(kubectl: Kubectl) -> None:
    def refusal(**spec: Any) -> str:
        manifest = inference_service("wrong", **{"uri": "hf://org/name", **spec})
        return kubectl("apply", "-f", "-", input=json.dumps(manifest), check=False).stderr

    assert 'unknown field "spec.replica"' in refusal(replica=2)
    assert "hf://" in refusal(uri="https://example.com/model")
    assert "--port" in refusal(engine={"extraArgs": ["--port=1"]})
    assert kubectl.items("infsvc") == []
