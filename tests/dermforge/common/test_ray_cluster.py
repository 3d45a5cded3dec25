"""Nobody else tells our Ray what to do: a token for every cluster, and loopback where that is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_helpers import importing_from

from dermforge.common import ray_cluster
from dermforge.common.errors import UserError

SENTENCE = "Ray runs the code of anybody who reaches one of its ports, on this machine too"
#: A cluster of this machine, and what another user of it can do with its address alone.
ON_THIS_MACHINE = """
import os, subprocess, sys
from dermforge.common import ray_cluster
from dermforge.common.id_ranges import count
ray = ray_cluster.connect("local")
print(ray.get(ray.remote(count).remote(["a"])))
address = ray.get_runtime_context().gcs_address
env = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
for mode in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "a guess"}):
    script = "import sys; from dermforge.common import ray_cluster; ray_cluster.connect(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, address], env=env | mode, capture_output=True, text=True)
    print(done.returncode, "one with another token" in done.stderr)
ray.shutdown()
ray = ray_cluster.connect("local")
print(ray.get(ray.remote(count).remote(["a", "b"])))
ray.shutdown()
"""


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token, no mode and an empty home; what is set in a test goes after it."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", ray_cluster.NETWORK):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "auto", "127.0.0.1:6379", "ray://head:10001"])
def test_no_cluster_is_joined_without_a_token(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither when none is set, nor when an empty one is, nor when the file that is named is missing."""
    with pytest.raises(UserError, match=SENTENCE):
        ray_cluster.connect(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    with pytest.raises(UserError, match="RAY_AUTH_TOKEN"):
        ray_cluster.connect(address)


def test_a_token_may_be_in_a_file_and_somebody_may_do_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's three places, and its word for none."""
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("secret")
    ray_cluster._require_token("auto")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    ray_cluster._require_token("auto")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    ray_cluster._require_token("auto")
    assert os.environ["RAY_AUTH_MODE"] == "token"  # else Ray may send none
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray_cluster._require_token("auto")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:6379", True),
        ("127.8.8.8:6379", True),
        ("localhost:6379", True),
        ("[::1]:6379", True),
        ("10.0.0.1:6379", False),
        ("0.0.0.0:6379", False),
        ("localhost.example:6379", False),
        ("ray://127.0.0.1:10001", False),
        ("auto", False),
    ],
)
def test_a_driver_stays_on_loopback_with_its_cluster(address: str, loopback: bool) -> None:
    """Else Ray looks for it at the machine's other address, and listens on every interface meanwhile."""
    with pytest.raises(UserError, match="no token"):
        ray_cluster.connect(address)
    assert os.environ.get(ray_cluster.NETWORK) == ("0" if loopback else None)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_other_users_of_this_machine_cannot_use_a_local_run() -> None:
    """They reach the loopback interface too; a second run of one process has the token still."""
    command = [sys.executable, "-c", ON_THIS_MACHINE]
    env = importing_from(Path(__file__).resolve().parents[3])
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:4] == ["1", "1 True", "1 True", "2"]
