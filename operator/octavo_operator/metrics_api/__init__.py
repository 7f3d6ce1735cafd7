"""custom.metrics.k8s.io for the pods of InferenceServices: HorizontalPodAutoscalers work on a bare cluster.

Every replica of the operator serves it, also one that does not lead; off unless `--metrics-api` is given.
"""
