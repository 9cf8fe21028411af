"""deploy/compose.yaml, read as the Compose specification says."""

import re

import pytest
import yaml
from compose_spec import PyCompose
from memory_limit import bytes_of, memory_limit, value_of


@pytest.fixture
def compose(root):
    """The file as it is once YAML's merges are carried out."""
    return yaml.safe_load((root / "deploy/compose.yaml").read_text())


@pytest.fixture
def services(compose):
    return compose["services"]


def check(compose):
    """Raises ValueError if a field is unknown or wrong."""
    PyCompose.from_yaml(yaml.safe_dump(compose)).validate()


def tmpfs_bytes(service):
    return bytes_of(re.search(r"size=(\d+m),", service["tmpfs"][0])[1])


def test_it_is_as_the_specification_says(compose):
    check(compose)


def test_a_field_that_the_specification_does_not_know_is_found(compose):
    compose["services"]["server"]["comand"] = ["--help"]
    with pytest.raises(ValueError, match="comand"):
        check(compose)


def test_ports_are_on_loopback(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_may_do_little(services):
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_targets_are_those_of_the_dockerfile(root, services):
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert {service["build"]["target"] for service in services.values() if "build" in service} <= set(stages)


def test_what_is_parked_has_room(services):
    assert bytes_of(value_of("--park_bytes", services["server"]["command"])) < tmpfs_bytes(services["server"])


def test_the_server_has_the_memory_that_it_may_take(services):
    """A tmpfs counts as memory of its container."""
    server = services["server"]
    assert memory_limit(server["command"]) + tmpfs_bytes(server) < bytes_of(server["mem_limit"])


def test_nobody_can_log_in_with_a_password_that_all_know(services):
    environment = services["grafana"]["environment"]
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false" and environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_the_server_has_time_to_drain(services):
    [drain] = [flag for flag in services["server"]["command"] if flag.startswith("--drain_timeout=")]
    assert int(services["server"]["stop_grace_period"].removesuffix("s")) > int(drain.split("=")[1].removesuffix("s"))
