"""The engine and our side of the cluster know each other only by names; here they are compared."""

import argparse
import asyncio
import urllib.request

import pytest
from crd import sample
from fake_engine import FakeEngine
from http_server import running_server, served_model
from text_fixtures import byte_level_tokenizer

from octavo_api import names
from octavo_api.quantity import parse_quantity
from octavo_api.spec import InferenceService
from octavo_engine import errors
from octavo_engine.cli import build_parser
from octavo_engine.config import CacheConfig, SchedulerConfig
from octavo_engine.server import edge, gateway_comments, gateway_trust, limits, resume
from octavo_engine.server.errors import server_draining
from octavo_engine.server.openai_schema import ChatRequest
from octavo_engine.server.settings import DrainSettings, ServerSettings
from octavo_engine.server.text_codec import TextCodec
from octavo_gateway import client
from octavo_operator.observed import OperatorDefaults
from octavo_operator.render.container import container
from octavo_operator.render.preflight import check_args

DEFAULTS = OperatorDefaults(engine_image="octavo-engine:1", model_root="/models-root")


def service(name: str) -> InferenceService:
    return InferenceService.from_manifest(sample(name))


def options(service: InferenceService, commit: str | None) -> argparse.Namespace:
    """What the engine understands of the command line that the operator writes."""
    return build_parser().parse_args(container(service, "octavo-engine:1", commit, DEFAULTS)["args"])


def serve_parser() -> argparse.ArgumentParser:
    (commands,) = (
        action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    parser = commands.choices["serve"]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def test_exit_codes_mean_the_same() -> None:
    assert {kind.exit_code: kind.__name__ for kind in errors.EngineError.__subclasses__()} == names.EXIT_CODES


def test_every_exit_code_is_a_reason() -> None:
    assert set(names.EXIT_CODES.values()) <= {reason.value for reason in names.Reason}


def test_the_engine_understands_every_flag_of_the_full_sample() -> None:
    understood = vars(options(service("full"), "0e9e39f"))
    left_to_users = (
        "seed",
        "kv_cache_memory",
        "max_waiting_requests",
        "max_num_prefill_tokens",
        "no_packed_cache",
    )
    assert all(name in understood for name in left_to_users)
    understood = {name: value for name, value in understood.items() if name not in left_to_users}
    assert {name: str(value) for name, value in understood.items()} == {
        "command": "serve",
        "model": "hf://meta-llama/Llama-3.1-8B-Instruct@0e9e39f",
        "served_model_name": "['llama', 'llama-3.1-8b']",
        "host": "0.0.0.0",
        "port": str(names.ENGINE_PORT),
        "dtype": "bfloat16",
        "max_model_len": "16384",
        "device": "cuda",
        "block_size": "32",
        "memory_percent": "92",
        "max_num_seqs": "128",
        "max_num_batched_tokens": "2048",
        "drain_propagation_seconds": "15.0",
        "drain_timeout_seconds": "600.0",
        "termination_log": names.TERMINATION_LOG,
        "gateway_token_file": f"{names.GATEWAY_TOKEN_MOUNT}/{names.TOKEN_SECRET_KEY}",
        "log_level": "debug",
    }


def test_the_engine_is_served_the_demo_model_under_the_services_name() -> None:
    understood = options(service("smollm2"), None)
    assert (understood.model, understood.served_model_name, understood.dtype, understood.device) == (
        f"{names.MODEL_MOUNT}/smollm2-135m-instruct",
        ["smollm2"],
        "float32",
        "cpu",
    )


def test_the_engine_understands_the_drain_of_the_operator() -> None:
    hook = container(service("full"), "octavo-engine:1", None, DEFAULTS)["lifecycle"]["preStop"]
    program, *arguments = hook["exec"]["command"]
    understood = build_parser().parse_args(arguments)
    assert (program, understood.command, understood.port) == ("octavo", "drain", names.ENGINE_PORT)


def test_the_flags_that_extra_args_may_not_set_are_the_engines() -> None:
    known = {flag for action in serve_parser()._actions for flag in action.option_strings}
    assert known >= names.OPERATOR_FLAGS | set(names.FIELD_FLAGS)


def test_the_engine_knows_the_file_of_the_gateways_token() -> None:
    assert names.GATEWAY_TOKEN_FLAG in {
        flag for action in serve_parser()._actions for flag in action.option_strings
    }


def test_gateway_and_engine_write_the_same_headers_fields_and_comments() -> None:
    draining = server_draining().headers
    assert (
        gateway_trust.TENANT_HEADER,
        gateway_trust.RESUMABLE_HEADER,
        edge.EXACTNESS_HEADER,
        resume.FIELD,
        gateway_comments.PREFIX,
        draining.get(names.HEADER_DRAINING),
    ) == (
        names.HEADER_TENANT,
        names.HEADER_RESUMABLE,
        names.HEADER_EXACTNESS,
        names.FIELD_RESUME,
        names.COMMENT_PREFIX,
        "true",
    )
    assert names.FIELD_RESUME in ChatRequest.__struct_fields__


@pytest.mark.parametrize(("choice", "flag"), names.DTYPE_FLAGS.items())
def test_the_engine_knows_the_number_format(choice: str, flag: str) -> None:
    (dtype,) = (action for action in serve_parser()._actions if "--dtype" in action.option_strings)
    assert dtype.choices is not None
    assert flag in dtype.choices


def test_defaults_that_both_sides_state_are_equal() -> None:
    drain = DrainSettings()
    spec = service("minimal")
    assert CacheConfig().block_size == spec.engine.kv_cache.block_size
    assert CacheConfig().memory_percent == spec.engine.kv_cache.memory_percent
    assert SchedulerConfig().max_num_seqs == spec.engine.scheduling.max_running_requests
    assert build_parser().parse_args(["drain"]).port == names.ENGINE_PORT
    assert drain.timeout_seconds == spec.drain.timeout_seconds


async def test_the_probes_and_metrics_that_we_name_answer() -> None:
    model = served_model(FakeEngine(lambda request: [1]), TextCodec(byte_level_tokenizer()))
    async with running_server(ServerSettings(served_names=("tiny",)), model) as server:
        for path in (names.PATH_HEALTH, names.PATH_READY):
            assert await asyncio.to_thread(fetch, server.url + path)
        metrics = await asyncio.to_thread(fetch, server.url + names.PATH_METRICS)
    for name in names.METRIC_NAMES:
        assert f'{name}{{engine="0",model_name="tiny"}} ' in metrics


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        text: str = response.read().decode()
        return text


@pytest.mark.parametrize("name", ["full", "minimal", "pvc"])
def test_a_check_takes_the_command_line_that_the_operator_gives_the_engine(name: str) -> None:
    """So that a preflight asks about the engine that will run."""
    command, *flags = container(service(name), "octavo-engine:1", "0e9e39f", DEFAULTS)["args"]
    serving = vars(build_parser().parse_args([command, *flags]))
    checking = vars(build_parser().parse_args(["check", *flags, "--json"]))
    place = {"elsewhere": False, "memory_limit": None, "accelerator_memory": None}
    assert checking == serving | place | {"command": "check", "json": True}


@pytest.mark.parametrize("name", ["full", "minimal", "pvc"])
def test_a_preflight_asks_with_every_flag_of_the_engine_and_the_memory_that_it_will_have(name: str) -> None:
    container_of_engine = container(service(name), "octavo-engine:1", "0e9e39f", DEFAULTS)
    memory = service(name).resources.memory
    serving = vars(build_parser().parse_args(container_of_engine["args"]))
    asking = vars(build_parser().parse_args(check_args(container_of_engine)))
    place = {
        "elsewhere": True,
        "memory_limit": memory and parse_quantity(memory, field=""),
        "accelerator_memory": None,
    }
    assert asking == serving | place | {"command": "check", "json": False}


def test_the_engine_takes_a_body_that_the_gateway_let_in_with_a_long_answer_behind_it() -> None:
    num_tokens, bytes_a_token = 128 * 1024, len("123456,")
    assert client.MAX_BODY_BYTES + num_tokens * bytes_a_token < limits.MAX_BODY_BYTES
