"""Operations on tensors, one folder each; `reference.py` is the truth. Imports torch and triton only."""
