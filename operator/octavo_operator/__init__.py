"""The control plane: watches InferenceServices and makes their children. Never imports torch."""
