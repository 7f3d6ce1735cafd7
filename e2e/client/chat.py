"""Ask a model one question and print the answer as it streams: `chat.py BASE_URL MODEL QUESTION`."""

import sys
import time

from openai import OpenAI

base_url, model, question = sys.argv[1:]
client = OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120)
started = time.monotonic()
first: float | None = None
tokens = 0
for chunk in client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": question}],
    max_tokens=96,
    temperature=0,
    stream=True,
    stream_options={"include_usage": True},
):
    if chunk.choices and chunk.choices[0].delta.content:
        first = first or time.monotonic()
        print(chunk.choices[0].delta.content, end="", flush=True)
    if chunk.usage:
        tokens = chunk.usage.completion_tokens
ended = time.monotonic()
if first is None:
    sys.exit("the model answered with no text")
print(f"\n\n[{tokens} tokens; the first after {first - started:.2f} s, all after {ended - started:.2f} s]")
