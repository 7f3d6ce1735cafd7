"""Benches of the whole system on the local cluster: `python -m bench.operator_scale`."""
