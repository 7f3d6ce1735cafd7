"""The parts that decoders are made of; each holds its weights and knows nothing of model families."""
