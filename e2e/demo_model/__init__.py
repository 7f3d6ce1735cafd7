"""Prepares the demo model, SmolLM2-135M-Instruct, as a folder in the Hugging Face layout."""

from .errors import DemoModelError
from .prepare import model_folder, prepare

__all__ = ["DemoModelError", "model_folder", "prepare"]
