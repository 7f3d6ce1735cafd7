"""From a folder in the Hugging Face layout to a decoder with weights; no model code from elsewhere is run."""
