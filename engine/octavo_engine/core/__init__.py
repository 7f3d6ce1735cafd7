"""Decisions in plain Python: which requests run, with which tokens, in which blocks. No tensors, no HTTP."""
