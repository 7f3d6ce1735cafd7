"""The engine's threads beside each other: one OpenMP runtime, and asleep when nothing is asked."""

import subprocess
import sys
from pathlib import Path

from tiny_model import make_tiny_model

PROBE = """
import re, sys, time
from pathlib import Path
from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig
from octavo_engine.llm import LLM
from octavo_engine.messages import SamplingParams

model = ModelConfig(path=Path(sys.argv[1]))
llm = LLM(EngineConfig(model=model, cache=CacheConfig(memory_bytes=8 << 20), device="cpu"))
llm.generate([[1, 2, 3]] * 8, [SamplingParams(max_tokens=20, temperature=0.0, ignore_eos=True)] * 8)
maps = Path("/proc/self/maps").read_text()
print(len(set(re.findall(r"/\\S*lib(?:gomp|omp|iomp)\\S*", maps))))
time.sleep(0.2)  # the threads spin for some microseconds before they sleep
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before < 0.1)
"""


def test_one_openmp_runtime_is_loaded_and_idle_threads_sleep(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", num_layers=1)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "True"]
