"""vLLM's engine for the CPU, in this process."""

import os
import time

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}

from vllm import LLM, SamplingParams  # noqa: E402, it reads the environment
from worker import serve  # noqa: E402


def load(settings):
    engine = LLM(model=settings["model"], dtype=settings["precision"], max_model_len=2048, max_num_seqs=64,
                 max_num_batched_tokens=2048, enable_prefix_caching=False).llm_engine
    identifiers = iter(range(1 << 62))

    def generate(prompts, new_tokens):
        sampling = SamplingParams(temperature=0, max_tokens=new_tokens, min_tokens=new_tokens, ignore_eos=True,
                                  detokenize=False)
        arrivals = {}
        begun = time.perf_counter()
        for prompt in prompts:
            identifier = str(next(identifiers))
            arrivals[identifier] = []
            engine.add_request(identifier, {"prompt_token_ids": prompt}, sampling)
        while engine.has_unfinished_requests():
            outputs = engine.step()
            now = time.perf_counter() - begun
            for output in outputs:
                times = arrivals[output.request_id]
                times += [now] * (len(output.outputs[0].token_ids) - len(times))
        return list(arrivals.values())

    return generate


if __name__ == "__main__":
    serve(load)
