"""Inference: encoders and models in processes of their own (the inference server, the model child)."""
