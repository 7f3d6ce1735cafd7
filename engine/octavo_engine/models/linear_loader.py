"""Linear layers out of a checkpoint: read, stacked, and packed where compiled kernels will read them."""

from octavo_engine.layers.linear import Linear
from octavo_engine.models.packed_cache import PackedCache
from octavo_engine.models.weights import Checkpoint
from octavo_kernels.linear.packed import PackedLinear, linear_shape, pack_linear
from octavo_kernels.native.library import NativeLibrary


class LinearLoader:
    """Holds one layer at most in both forms: what is packed drops the tensors that it was made from."""

    def __init__(
        self, weights: Checkpoint, native: NativeLibrary | None = None, cache: PackedCache | None = None
    ) -> None:
        self._weights = weights
        self._native = native
        self._cache = cache

    def load(
        self,
        prefix: str,
        names: tuple[str, ...],
        rows: tuple[int, ...],
        columns: int,
        *,
        has_bias: bool = False,
        is_gated: bool = False,
    ) -> Linear:
        """The tensors `prefix`name.weight, [rows, columns] each, stacked along the outputs."""
        weights = tuple(f"{prefix}{name}.weight" for name in names)
        biases = tuple(f"{prefix}{name}.bias" for name in names)
        bias = self._weights.stack(biases, rows) if has_bias else None
        if self._native is None:
            return Linear(self._weights.stack(weights, rows, columns), bias)
        shape = linear_shape(sum(rows), columns, is_gated=is_gated)
        size = self._native.packed_size(shape)
        packed = self._cache.find(weights, size) if self._cache is not None else None
        if packed is None:
            packed = pack_linear(self._native, self._weights.stack(weights, rows, columns), shape)
            if self._cache is not None:
                self._cache.add(weights, packed)
        return Linear(PackedLinear(packed, bias, shape))
