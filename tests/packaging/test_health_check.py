"""The image's health check, asked of an installed server that nobody without a certificate of its authority can talk to."""

import json
import re
import subprocess

import pytest
from certificates import Authority
from process import ServerProcess


@pytest.fixture(scope="module")
def check(root):
    """The exit code of the health check, with the operators' port in the place of the one in server.flags."""
    port = re.search(r"^--metrics_listen=127\.0\.0\.1:(\d+)$", (root / "deploy/systemd/server.flags").read_text(), re.MULTILINE)[1]
    text = (root / "Dockerfile").read_text().replace("\\\n", "")
    [words] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)

    def run(ops):
        command = json.loads(words)
        assert f"/{port} " in command[-1]
        command[-1] = command[-1].replace(f"/{port} ", f"/{ops.rsplit(':')[-1]} ")
        return subprocess.run(command, capture_output=True, timeout=5).returncode

    return run


def test_it_tells_whether_a_server_takes_sessions(prefix, model, check, tmp_path):
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("chat.example.org")
    flags = [f"--model={model}", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--kv_bytes=256MiB",
             f"--tls_certificate={certificate}", f"--tls_key={key}", f"--tls_client_ca={authority.path}"]
    with ServerProcess(prefix / "bin/sinkstream-server", *flags) as server:
        ops = server.await_line(r"metrics on (\S+)")
        assert check(ops) != 0, "it loads"
        server.await_address()
        assert check(ops) == 0
        assert server.stop() == 0
    assert check(ops) != 0, "it is gone"
