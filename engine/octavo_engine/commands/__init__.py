"""The commands of `octavo`, one a module: `add_flags` declares, `run` obeys.

What a command needs it imports when it runs.
"""
