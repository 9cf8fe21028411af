"""OpenVINO GenAI's continuous batching, on the CPU."""

import time

import numpy
import openvino
import openvino_genai
from worker import serve


def scheduler(settings):
    config = openvino_genai.SchedulerConfig()
    config.cache_size = 2  # GiB
    config.max_num_seqs = 64
    config.max_num_batched_tokens = 2048
    config.dynamic_split_fuse = True
    config.enable_prefix_caching = False
    if settings.get("eviction"):
        # The nearest it has to sinks and a window; its sizes are multiples of its blocks of 32 tokens.
        config.use_cache_eviction = True
        config.cache_eviction_config = openvino_genai.CacheEvictionConfig(
            start_size=32, recent_size=448, max_cache_size=512, apply_rotation=True,
            aggregation_mode=openvino_genai.AggregationMode.SUM)
    return config


def load(settings):
    properties = {"INFERENCE_NUM_THREADS": settings["threads"]}
    if "precision" in settings:  # else what it holds best for the CPU
        properties["INFERENCE_PRECISION_HINT"] = settings["precision"]
    pipeline = openvino_genai.ContinuousBatchingPipeline(settings["model"], scheduler(settings), "CPU", properties)
    identifiers = iter(range(1 << 62))

    def generate(prompts, new_tokens):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.min_new_tokens = new_tokens, new_tokens
        config.ignore_eos, config.do_sample = True, False
        begun = time.perf_counter()
        handles = [pipeline.add_request(next(identifiers), openvino.Tensor(numpy.array([prompt], dtype=numpy.int64)), config)
                   for prompt in prompts]
        arrivals = [[] for _ in prompts]
        while pipeline.has_non_finished_requests():
            pipeline.step()
            now = time.perf_counter() - begun
            for handle, times in zip(handles, arrivals, strict=True):
                while handle.can_read():
                    for output in handle.read().values():
                        times += [now] * len(output.generated_ids)
        return arrivals

    return generate


serve(load)
