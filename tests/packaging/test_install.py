"""The tree that `cmake --install` lays down runs by itself, wherever it stands."""

import subprocess

import pytest
from process import ServerProcess

PROGRAMS = ["sinkstream-server", "sinkstream-chat", "sinkstream-eval", "sinkstream-loadgen"]


def files(prefix):
    return {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}


def libraries(file):
    """Where the dynamic linker finds what `file` needs, by the library's name."""
    lines = subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout.splitlines()
    return {words[0]: words[2] for words in map(str.split, lines) if len(words) > 2 and words[1] == "=>"}


def test_the_tree_is_what_operations_md_says(prefix):
    installed = files(prefix)
    assert {file for file in installed if file.startswith("bin/")} == {f"bin/{program}" for program in PROGRAMS}
    assert {file for file in installed if ".so" in file} == {
        "lib/sinkstream/libsinkstream_ops.so", "lib/sinkstream/libtorch_cpu.so", "lib/sinkstream/libc10.so"}
    assert {"lib/systemd/system/sinkstream.service", "lib/sysusers.d/sinkstream.conf", "share/sinkstream/server.flags",
            "share/sinkstream/proto/sinkstream/v1/chat.proto", "share/doc/sinkstream-server/docs/operations.md",
            "share/doc/sinkstream-server/libtorch/LICENSE", "share/doc/sinkstream-chat/LICENSE"} <= installed


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_says_its_version(prefix, version, program):
    result = subprocess.run([prefix / "bin" / program, "--version"], check=True, capture_output=True, text=True)
    assert result.stdout == f"{program} {version}\n"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_tells_its_flags(prefix, program):
    result = subprocess.run([prefix / "bin" / program, "--help"], check=True, capture_output=True, text=True)
    assert program in result.stdout


def test_libraries_are_the_installed_ones_or_the_systems(prefix):
    found = libraries(prefix / "bin/sinkstream-server") | libraries(prefix / "lib/sinkstream/libsinkstream_ops.so")
    own = {name for name, path in found.items() if path.startswith(str(prefix))}
    assert own == {"libsinkstream_ops.so", "libtorch_cpu.so", "libc10.so"}
    assert all(path.startswith(("/lib/", "/usr/lib/")) for name, path in found.items() if name not in own), found


def test_the_installed_server_answers_the_installed_chat(prefix, model):
    server = prefix / "bin/sinkstream-server"
    with ServerProcess(server, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB") as running:
        address = running.await_address()
        chat = [prefix / "bin/sinkstream-chat", f"--server={address}"]
        subprocess.run([*chat, "--check"], check=True)
        reply = subprocess.run([*chat, "--max_tokens=12"], input="What is the capital of France?\n", check=True,
                               capture_output=True, text=True).stdout
        assert "Paris" in reply
        assert running.stop() == 0, running.errors()
