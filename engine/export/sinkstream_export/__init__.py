"""Turns a checkpoint (Hugging Face directory, GGUF file) into one self-contained sinkstream model file.

docs/model_artifact.md is the contract of what is written and says how to add an architecture.
"""

__version__ = "0.1.0"
