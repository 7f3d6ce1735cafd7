"""What both sides of the cluster share: the InferenceService, and the names of things. Few dependencies."""
