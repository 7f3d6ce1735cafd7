"""The random numbers: one for each token, which depends on its request's seed and on its place alone."""

import numpy as np
import numpy.typing as npt


def uniforms(seed_N: npt.NDArray[np.uint64], counter_N: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1): the counter-th of the generator SplitMix64 for each seed, without its state."""
    counter_N = counter_N.astype(np.uint64)
    bits = _mix(_mix(seed_N) + (counter_N + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
