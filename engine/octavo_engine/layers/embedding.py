"""Token ids to hidden vectors."""

from torch import Tensor
from torch.nn.functional import embedding


class Embedding:
    def __init__(self, weight_VH: Tensor) -> None:
        self.weight_VH = weight_VH

    def __call__(self, input_ids_T: Tensor) -> Tensor:
        return embedding(input_ids_T, self.weight_VH)
