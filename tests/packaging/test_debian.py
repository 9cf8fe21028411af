"""The Debian packages: what is in them, what they need, and that they can be told apart from a stale conffile."""

import subprocess

import pytest

NAMES = ["sinkstream-chat", "sinkstream-server", "sinkstream-tools"]


def field(package, name):
    return subprocess.run(["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True).stdout.strip()


def names_of(dependencies):
    """The first alternative of each, without its version."""
    return {dependency.split("|")[0].split("(")[0].strip() for dependency in dependencies.split(",")}


def contents(package):
    """Mode, owner and name of each file, as in `dpkg-deb --contents`."""
    lines = subprocess.run(["dpkg-deb", "--contents", package], check=True, capture_output=True, text=True).stdout
    return [(words[0], words[1], words[5].removeprefix(".")) for words in map(str.split, lines.splitlines())]


def test_there_is_a_package_for_each_audience(packages, version):
    assert sorted(packages) == NAMES
    for name, package in packages.items():
        assert field(package, "Package") == name
        assert field(package, "Version") == version


def test_the_server_needs_libraries_but_neither_torch_nor_python(packages):
    needed = names_of(field(packages["sinkstream-server"], "Depends"))
    assert {"libc6", "libgomp1", "libgrpc++1.51", "libpcre2-8-0", "libprotobuf32", "libstdc++6"} <= needed
    assert not [name for name in needed if "torch" in name or "python" in name]


def test_the_chat_needs_no_more_than_grpc_does(packages):
    needed = names_of(field(packages["sinkstream-chat"], "Depends"))
    assert "libgrpc++1.51" in needed
    assert not needed & {"libcairo2", "libgomp1", "libpcre2-8-0"}


def test_the_settings_are_the_operators(packages, tmp_path):
    subprocess.run(["dpkg-deb", "--control", packages["sinkstream-server"], tmp_path], check=True)
    assert (tmp_path / "conffiles").read_text() == "/etc/sinkstream/server.flags\n"
    assert "/etc/sinkstream/server.flags" in [name for _, _, name in contents(packages["sinkstream-server"])]


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_a_maintainer_script_can_be_run(packages, tmp_path, script):
    subprocess.run(["dpkg-deb", "--control", packages["sinkstream-server"], tmp_path], check=True)
    assert (tmp_path / script).stat().st_mode & 0o777 == 0o755
    subprocess.run(["sh", "-n", tmp_path / script], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_roots_and_writable_by_nobody_else(packages, name):
    for mode, owner, file in contents(packages[name]):
        assert owner == "root/root", file
        assert mode[5] == mode[8] == "-", file


@pytest.mark.parametrize("name", NAMES)
def test_a_package_tells_its_licence(packages, name):
    assert f"/usr/share/doc/{name}/copyright" in [file for _, _, file in contents(packages[name])]
