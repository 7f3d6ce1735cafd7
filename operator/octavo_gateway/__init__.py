"""The data plane: the OpenAI endpoint of a namespace, in front of the engine pods. No torch, no kopf."""
