"""Which architecture of config.json belongs to which family."""

from collections.abc import Callable, Mapping

from octavo_engine.errors import InvalidModel
from octavo_engine.models.families import llama, mistral
from octavo_engine.models.hf_config import HFConfig
from octavo_engine.models.spec import DecoderSpec

FAMILIES: Mapping[str, Callable[[HFConfig], DecoderSpec]] = {
    "LlamaForCausalLM": llama,
    "MistralForCausalLM": mistral,
}


def decoder_spec(config: HFConfig) -> DecoderSpec:
    architecture = config.architecture()
    family = FAMILIES.get(architecture)
    if family is None:
        supported = ", ".join(FAMILIES)
        raise InvalidModel(
            f"{config.path}: architecture {architecture} is not supported; supported are {supported}"
        )
    return family(config)
