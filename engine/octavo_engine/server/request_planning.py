"""From a typed OpenAI request and its tokenized prompts to the engine requests that answer it."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams
from octavo_engine.server.errors import BadRequest
from octavo_engine.server.gateway_trust import ANYBODY, Caller
from octavo_engine.server.generation import ChoiceRequest
from octavo_engine.server.openai_schema import GenerationRequest
from octavo_engine.server.resume import (
    FIELD,
    Resume,
    ResumedChoice,
    bad_resume,
    check_choice,
    check_resumable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    token_ids: tuple[int, ...]
    echo_text: str = ""


def plan_choices(
    request: GenerationRequest,
    prompts: Sequence[Prompt],
    info: EngineInfo,
    *,
    max_tokens: int | None,
    engine_request_id: str,
    arrival_time: float,
    caller: Caller = ANYBODY,
) -> tuple[ChoiceRequest, ...]:
    """`n` choices of every prompt, in OpenAI's order; `max_tokens` None is the rest of the context."""
    resume = _resume(request, len(prompts) * request.num_choices, caller, info)

    def choices() -> Iterator[ChoiceRequest]:
        for number, prompt in enumerate(prompts):
            check_prompt(prompt.token_ids, info)
            length = max_tokens_of(len(prompt.token_ids), max_tokens, info)
            for choice in range(request.num_choices):
                index = number * request.num_choices + choice
                resumed = None if resume is None else resume.choices[index]
                if resumed is not None:
                    check_choice(resumed, index, length, info)
                yield ChoiceRequest(
                    index=index,
                    add=AddRequest(
                        request_id=f"{engine_request_id}-{index}",
                        prompt_token_ids=prompt.token_ids,
                        sampling=sampling_params(
                            request, length, _seed(request, choice, caller, resumed), info
                        ),
                        arrival_time=arrival_time,
                        priority=request.priority or 0,
                        cache_salt=caller.cache_salt(request.cache_salt or ""),
                        generated_token_ids=() if resumed is None else resumed.token_ids,
                    ),
                    stop_strings=request.stop_strings,
                    text_before=prompt.echo_text,
                    shares_prompt=choice > 0,
                    num_chars_sent=0 if resumed is None else resumed.num_chars,
                    is_finished=resumed is not None and resumed.finished,
                )

    return tuple(choices())


def _resume(request: GenerationRequest, num_choices: int, caller: Caller, info: EngineInfo) -> Resume | None:
    resume = request.octavo_resume
    if resume is None:
        return None
    if not caller.is_gateway:
        raise bad_resume(f"{FIELD} is the gateway's alone; leave it out")
    check_resumable(resume, info)
    if len(resume.choices) != num_choices:
        raise bad_resume(
            f"{FIELD}.choices: {len(resume.choices)} choices, but the request asks for {num_choices}"
        )
    return resume


def _seed(
    request: GenerationRequest, choice: int, caller: Caller, resumed: ResumedChoice | None
) -> int | None:
    """Choices of one prompt get seeds in a row, or all would say the same. None leaves it to the engine."""
    if resumed is not None:
        return resumed.seed
    if request.seed is not None:
        return (request.seed + choice) % 2**63
    return secrets.randbits(63) if caller.wants_comments else None


def check_prompt(token_ids: Sequence[int], info: EngineInfo) -> None:
    if not token_ids:
        raise BadRequest("the prompt is empty; send at least one token of text", param="prompt")
    if max(token_ids) >= info.vocab_size:
        raise BadRequest(
            f"prompt: token {max(token_ids)} is outside the vocabulary of {info.vocab_size} tokens",
            param="prompt",
        )


def max_tokens_of(num_prompt_tokens: int, max_tokens: int | None, info: EngineInfo) -> int:
    room = info.max_model_len - num_prompt_tokens
    if max_tokens is None and room >= 1:
        return room
    if max_tokens is not None and max_tokens <= room:
        return max_tokens
    asked = "" if max_tokens is None else f" and max_tokens asks for {max_tokens} more"
    remedy = "shorten the prompt" if room < 1 else f"shorten the prompt or ask for at most {room} tokens"
    raise BadRequest(
        f"the model's context is {info.max_model_len} tokens; "
        f"the prompt has {num_prompt_tokens}{asked}: {remedy}",
        param="max_tokens" if room >= 1 else "messages",
        code="context_length_exceeded",
    )


def sampling_params(
    request: GenerationRequest, length: int, seed: int | None, info: EngineInfo
) -> SamplingParams:
    return SamplingParams(
        max_tokens=length,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=min(max(request.top_k or 0, 0), info.vocab_size),
        min_p=request.min_p or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=1.0 if request.repetition_penalty is None else request.repetition_penalty,
        num_logprobs=request.num_logprobs,
        seed=seed,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        ignore_eos=bool(request.ignore_eos),
        min_tokens=min(request.min_tokens or 0, length),
    )
