"""What a model's folder says before its weights are read: enough to tell what they will need."""

from dataclasses import dataclass

from octavo_engine.config import ModelConfig
from octavo_engine.errors import InvalidEngineConfig, ModelNotFound
from octavo_engine.models.hf_config import ITEMSIZE, HFConfig, read_eos_token_ids
from octavo_engine.models.registry import decoder_spec
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.tensor_shapes import num_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """`dtype` and `max_model_len` are what was asked for, or else the model's own."""

    architecture: str
    spec: DecoderSpec
    checkpoint_dtype: str
    dtype: str
    max_model_len: int
    eos_token_ids: tuple[int, ...]

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.dtype]

    @property
    def weights_bytes(self) -> int:
        """A tied head is loaded beside the embeddings: it is laid out for another kernel."""
        head = self.spec.vocab_size * self.spec.hidden_size if self.spec.tie_word_embeddings else 0
        return (num_parameters(self.spec) + head) * self.itemsize

    @property
    def rope_bytes(self) -> int:
        """Cosines and sines of every position, in float32."""
        return 2 * self.max_model_len * self.spec.head_dim * 4

    @property
    def kv_bytes_per_token(self) -> int:
        return self.spec.kv_bytes_per_token(self.itemsize)


def read_model_facts(config: ModelConfig) -> ModelFacts:
    if not config.path.is_dir():
        raise ModelNotFound(f"{config.path} is not a folder: give a model in the Hugging Face layout")
    hf_config = HFConfig.read(config.path / "config.json")
    spec = decoder_spec(hf_config)
    limit = spec.max_position_embeddings
    if config.max_model_len is not None and config.max_model_len > limit:
        raise InvalidEngineConfig(
            f"--max-model-len {config.max_model_len}: the model was made for {limit}; give at most that"
        )
    checkpoint_dtype = hf_config.dtype()
    return ModelFacts(
        architecture=hf_config.architecture(),
        spec=spec,
        checkpoint_dtype=checkpoint_dtype,
        dtype=checkpoint_dtype if config.dtype == "auto" else config.dtype,
        max_model_len=config.max_model_len or limit,
        eos_token_ids=read_eos_token_ids(config.path, hf_config),
    )
