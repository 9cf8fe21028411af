"""transformers: one static batch, greedy, with its own KV cache."""

import time

import torch
from transformers import AutoModelForCausalLM
from worker import serve


def load(settings):
    torch.set_num_threads(settings["threads"])
    model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=getattr(torch, settings["precision"])).eval()

    @torch.inference_mode()
    def generate(prompts, new_tokens):
        begun = time.perf_counter()
        times, tokens, cache = [], torch.tensor(prompts), None
        for _ in range(new_tokens):
            output = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            tokens = output.logits[:, -1].argmax(-1, keepdim=True)
            times.append(time.perf_counter() - begun)
        return [times] * len(prompts)

    return generate


serve(load)
