"""The engine over HTTP, as OpenAI speaks it: text in, text out; tokens and tensors are others' business."""
