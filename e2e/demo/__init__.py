"""The walk from a fresh clone to a streamed chat answer."""
