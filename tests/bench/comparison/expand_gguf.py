"""Writes a GGUF checkpoint as a Hugging Face directory in float32, which the peers' own exporters read.

    python expand_gguf.py FILE.gguf DIRECTORY
"""

import os
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def main():
    file, directory = sys.argv[1:]
    source = {"pretrained_model_name_or_path": os.path.dirname(os.path.abspath(file)),
              "gguf_file": os.path.basename(file)}
    weights = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).state_dict()
    config = AutoConfig.from_pretrained(**source)
    # A model that came from GGUF refuses to be saved; one with its weights alone does not.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(weights)
    model.tie_weights()
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(**source).save_pretrained(directory)


if __name__ == "__main__":
    main()
