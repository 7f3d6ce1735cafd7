"""The serving engine: `server` speaks HTTP, `core` decides, `worker` computes.

`server` and `core` know each other only by `messages`, and neither imports torch.
"""

__version__ = "0.1.0"
