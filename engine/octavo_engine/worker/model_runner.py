"""Runs batches on one device: the `Executor` of an engine with one rank."""

from typing import Protocol

from octavo_engine.core.batch import Batch, Pending
from octavo_engine.worker.pending import FailedStep


class Model(Protocol):
    def run(self, batch: Batch) -> Pending:
        """From tokens to tokens: the forward pass and the sampling of one step. May return before it ends."""
        ...


class ModelRunner:
    def __init__(self, model: Model) -> None:
        self.model = model

    def submit(self, batch: Batch) -> Pending:
        """Never raises: what fails here fails in `result`, as it would for work still under way."""
        try:
            return self.model.run(batch)
        except Exception as error:
            return FailedStep(error)
