"""`octavo generate`: a file of prompts in, a file of answers out, without a server."""
