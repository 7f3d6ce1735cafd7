"""What one client may ask of the server at once; above it the answer is a 4xx, not work."""

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_PROMPTS = 128
MAX_CHOICES = 16
MAX_STOP_STRINGS = 16
MAX_STOP_STRING_CHARS = 1024
MAX_STOP_TOKENS = 128
MAX_SERVED_MODEL_CHARS = 256
