"""A user applies an InferenceService and talks to it from another pod with the real OpenAI client."""

from pathlib import Path
from typing import Any

import install
from kubectl import Kubectl
from storytelling import MODELS_CLAIM

SAMPLE = Path(__file__).parents[2] / "manifests/samples/smollm2.yaml"
ENFORCE = "pod-security.kubernetes.io/enforce"
QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "What is two plus three?",
    "Write one sentence about the sea.",
    "Why is the sky blue?",
    "Give me a word that rhymes with cat.",
    "What do bees make?",
    "Say hello in Spanish.",
]


def chat(question: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"chat": {"model": "smollm2", "messages": messages, "temperature": 0, "max_tokens": 24, **more}}


def test_the_sample_answers_a_streamed_chat_and_a_completion(kubectl: Kubectl, client: Any) -> None:
    # file:// is a folder of the node (hostPath), which the levels `baseline` and `restricted` forbid.
    kubectl("label", "namespace", str(kubectl.namespace), f"{ENFORCE}=privileged", "--overwrite")
    kubectl("apply", "-f", str(SAMPLE))
    kubectl("wait", "infsvc/smollm2", "--for=condition=Ready", "--timeout=180s")

    streamed, completed = client(
        "smollm2",
        chat(QUESTIONS[0], stream=True, stream_options={"include_usage": True}),
        {
            "completion": {
                "model": "smollm2",
                "prompt": "Once upon a time",
                "max_tokens": 16,
                "temperature": 0,
            }
        },
    )

    assert "Paris" in streamed["text"]
    assert streamed["num_chunks"] > 3
    assert streamed["usage"]["total_tokens"] == (
        streamed["usage"]["prompt_tokens"] + streamed["usage"]["completion_tokens"]
    )
    assert (completed["finish_reason"], completed["usage"]["completion_tokens"]) == ("length", 16)
    assert completed["text"].strip()
    # The image has no compiler: its libraries were built with it.
    log = kubectl("logs", "-l", "app.kubernetes.io/name=octavo-engine", "--tail=-1").stdout
    assert "CPU kernels for" in log and "compiling" not in log


def test_eight_clients_at_once_get_the_tokens_of_one_by_one(serve: Any, client: Any) -> None:
    uri = f"pvc://{MODELS_CLAIM}/{install.DEMO_MODEL}"
    serve("smollm2", uri, resources={"cpu": "500m", "memory": "3Gi"})
    calls = [chat(question, stream=True) for question in QUESTIONS]

    alone = client("smollm2", *calls, concurrency=1)
    together = client("smollm2", *calls, concurrency=8)

    assert all(each["text"] for each in alone)
    assert together == alone
