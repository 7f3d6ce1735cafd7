"""Tensors: turns a batch into flat inputs, runs the model on its paged cache, and samples."""
