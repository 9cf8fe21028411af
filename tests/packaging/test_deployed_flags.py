"""The flags that the files of deploy/ and the Dockerfile give are ones that the programs take."""

import json
import re
import subprocess

import pytest
import yaml

ANY_PORT = "--metrics_listen=127.0.0.1:0"


@pytest.fixture(scope="module")
def entrypoint(root):
    """The server's flags in a container, without its user's; its flag file is the checkout's."""
    [words] = re.findall(r"^ENTRYPOINT (.*)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    program, *flags = json.loads(words)
    assert program == "sinkstream-server"
    return [flag.replace("/etc/sinkstream", f"{root}/deploy/systemd") for flag in flags]


@pytest.fixture(scope="module")
def compose(root):
    return yaml.safe_load((root / "deploy/compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def pod_flags(root):
    production = root / "deploy/kubernetes"
    stateful_set = yaml.safe_load((production / "base/statefulset.yaml").read_text())
    tokens = yaml.safe_load((production / "components/tokens/kustomization.yaml").read_text())
    [container] = stateful_set["spec"]["template"]["spec"]["containers"]
    [flag] = [change["value"] for change in yaml.safe_load(tokens["patches"][0]["patch"]) if "args" in change["path"]]
    return [*container["args"], flag]


def refusal(prefix, *flags):
    """The one line with which a server says why it does not start."""
    result = subprocess.run([prefix / "bin/sinkstream-server", *flags, ANY_PORT], capture_output=True, text=True)
    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("sinkstream-server: ")]
    return line


def test_the_services_lack_but_a_model(root, prefix):
    assert "/var/lib/sinkstream/model.pt" in refusal(prefix, f"--flagfile={root}/deploy/systemd/server.flags")


def test_the_images_server_does_not_begin_without_encryption_by_itself(prefix, entrypoint):
    assert "--insecure_listen" in refusal(prefix, *entrypoint)


def test_compose_s_server_lacks_but_a_model(prefix, entrypoint, compose):
    assert "/var/lib/sinkstream/model.pt" in refusal(prefix, *entrypoint, *compose["server"]["command"])


def test_a_pods_server_lacks_but_its_secrets(prefix, entrypoint, pod_flags):
    assert "/etc/sinkstream/tls/tls.crt" in refusal(prefix, *entrypoint, *pod_flags)


def test_compose_s_load_lacks_but_a_server(prefix, compose):
    program, *flags = compose["load"]["command"]
    flags = [flag.replace("server:50051", "127.0.0.1:1") for flag in flags]
    result = subprocess.run([prefix / "bin" / program, *flags], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
