"""An export takes about the artifact's size and one shard of memory, not the source's and not the reference's."""

import json

import pytest
import torch
import transformers

import tiny_models

# Prints by how many bytes the resident peak of an export is above what the process had before it. A first, small one
# has imported and started all that stays.
MEASURE = """
import json, sys
from pathlib import Path
from sinkstream_export.export import Request, run

def status(key):
    line = next(line for line in open("/proc/self/status") if line.startswith(key))
    return 1024 * int(line.split()[1])

small, source, out, dtype = sys.argv[1:]
run(Request(Path(small), Path(out), dtype))
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
run(Request(Path(source), Path(out), dtype))
print(json.dumps(status("VmHWM") - before))
"""

# Huge pages round packed weights up by 2 MiB in 32, here 10 MiB in all; activations and norms are about 1 MiB.
SLACK = 12 << 20


def random_llama(layers, dtype):
    config = transformers.LlamaConfig(
        vocab_size=301, hidden_size=768, intermediate_size=2048, num_hidden_layers=layers, num_attention_heads=12,
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2)
    return transformers.LlamaForCausalLM(config).to(dtype)


@pytest.mark.parametrize("stored, layers, dtype", [
    (torch.float32, 6, "float32"), (torch.bfloat16, 12, "bfloat16"), (torch.float32, 6, "int8"),
], ids=str)
def test_peak_is_the_artifact_and_a_shard(tmp_path, run_cli, stored, layers, dtype):
    small, source, out = tmp_path / "small", tmp_path / "source", tmp_path / "model.pt"
    small.mkdir()
    source.mkdir()
    tiny_models.write_hf(small, tiny_models.make_model_in_blocks())
    tiny_models.write_hf(source, random_llama(layers, stored), stored, shard_size="45MB")
    shards = [path.stat().st_size for path in source.glob("*.safetensors")]
    result = run_cli(small, source, out, dtype, program=MEASURE)
    assert result.returncode == 0, result.stderr
    assert len(shards) > 3 and sum(shards) > 150e6
    assert json.loads(result.stdout) < out.stat().st_size + max(shards) + SLACK
