"""Deployment files: they parse, their commands and options exist, and the array script divides the work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import listening
import pytest
import typer
import yaml

import bench.cli
import gen.cli
from dermforge.common.ray_cluster import NETWORK

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMMANDS: dict[str, Any] = {
    name: typer.main.get_command(program.app())
    for name, program in (("gen", gen.cli.PROGRAM), ("bench", bench.cli.PROGRAM))
}


def parses(line: str) -> None:
    """The program accepts the command line; nothing is run."""
    words = shlex.split(filled(line))
    command = COMMANDS[words[0]].commands[words[1]]
    command.make_context(words[1], words[2:])


def filled(text: str, **given: str) -> str:
    """A text as Compose fills it in: what is given, else the default."""
    return re.sub(
        r"\$\{?([A-Z_]+)(?::-([^}]*))?\}?", lambda m: given.get(m[1]) or (m[2] if m[2] is not None else "1"), text
    )


def of_compose(**given: str) -> dict[str, Any]:
    """The services as they would run with these variables."""
    services: dict[str, Any] = yaml.safe_load(filled((DEPLOY / "compose.yaml").read_text(), **given))["services"]
    return services


def of_cluster(everywhere: bool = False) -> dict[str, str]:
    """What Ray's file sets in its containers."""
    options = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())["docker"]["run_options"]
    found = dict(option.removeprefix("-e ").split("=", 1) for option in options if option.startswith("-e "))
    return found | ({NETWORK: "1"} if everywhere else {})


def test_the_compose_file_runs_commands_that_exist() -> None:
    """Every service's command line is parsed by the program itself."""
    services = of_compose()
    assert {"sample", "bench", "ray-head", "ray-worker", "ray-sample"} <= set(services)
    for service in services.values():
        if service["command"].split()[0] in COMMANDS:
            parses(service["command"])
        assert service["image"]
        assert service["shm_size"] == "8gb"
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"


def test_ray_listens_on_loopback_unless_somebody_says_so() -> None:
    """One variable opens every interface, beside a sentence that says what that means; a token is always asked for."""
    services = of_compose()
    ray = [name for name, service in services.items() if service.get("network_mode") == "host"]
    assert ray == ["ray-head", "ray-worker", "ray-sample"]
    for name in ray:
        assert services[name]["environment"] == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": None, NETWORK: 0}
        assert "127.0.0.1" in services[name]["command"]
        assert of_compose(**{NETWORK: "1"})[name]["environment"][NETWORK] == 1
    assert "ports" not in str(services)
    cluster = of_cluster()
    assert cluster == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/run/ray-token", NETWORK: "0"}
    for path in (DEPLOY / "compose.yaml", DEPLOY / "ray-cluster.yaml"):
        sentence = " ".join(path.read_text().replace("\n#", "").split())
        assert f"With {NETWORK}=1" in sentence
        assert "it listens on EVERY interface of each machine" in sentence
        assert "whoever has the token runs programs there" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compose", "cluster"])
def test_the_head_is_as_open_as_the_file_says(kind: str) -> None:
    """Ray itself, started as the file starts it: not without a token, on loopback, and with the switch everywhere."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    if not listening.possible():
        pytest.skip("namespaces cannot be made here")
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: Ray's sockets lie in it
        token = Path(folder) / "token"
        token.write_text("a secret")
        secret = {"compose": {"RAY_AUTH_TOKEN": "a secret"}, "cluster": {"RAY_AUTH_TOKEN_PATH": str(token)}}[kind]
        status, said, _, _ = head(kind, Path(folder, "a"), {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""})
        assert status != 0
        assert "token" in said
        status, said, local, others = head(kind, Path(folder, "b"), secret)
        assert (status, others) == (0, []), said
        assert local
        status, said, _, others = head(kind, Path(folder, "c"), secret, everywhere=True)
        assert status == 0, said
        assert [address for address in others if int(address.partition(":")[0], 16) == 0]


def head(
    kind: str, folder: Path, secret: dict[str, str], everywhere: bool = False
) -> tuple[int, str, list[str], list[str]]:
    """Start a file's head in namespaces of its own; its status, what it said, and what it listens on."""
    if kind == "compose":
        given = {"GPUS": "0", NETWORK: "1", "HEAD": listening.ADDRESS} if everywhere else {"GPUS": "0"}
        service = of_compose(**given)["ray-head"]
        command, environment = service["command"], {key: str(value) for key, value in service["environment"].items()}
    else:
        commands = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())["head_start_ray_commands"]
        command, environment = commands[-1], of_cluster(everywhere)
    left_out = ("--block", "--autoscaling-config")  # they would wait, and look for the other machines
    words = [word for word in command.split() if not word.startswith(left_out)]
    words += [f"--temp-dir={folder}", "--num-cpus=1", "--object-store-memory=100000000"]
    home = {"HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    return listening.listening(words, environment | secret | home)


def test_the_ray_cluster_file_is_one_of_rays() -> None:
    """Ray's own schema accepts it."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())))


def test_the_ray_example_is_a_command_that_exists() -> None:
    """The program accepts the line that a user copies from the comment."""
    text = (DEPLOY / "ray-cluster.yaml").read_text()
    lines = re.findall(r'ray exec \S+ "([^"]+)"', text)
    assert lines
    for line in lines:
        parses(line)


@pytest.mark.parametrize("first", [0, 5])
def test_array_tasks_take_every_nth_shard(tmp_path: Path, first: int) -> None:
    """Tasks of an array, which may start above 0, are workers 0 to N-1 and pass their options on unchanged."""
    said = tmp_path / "said"
    program = tmp_path / "gen"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {said}\necho >> {said}\n')
    program.chmod(0o755)
    for task in range(first, first + 3):
        slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": str(first), "SLURM_ARRAY_TASK_COUNT": "3"}
        env = {**os.environ, **slurm, "GEN": str(program)}
        subprocess.run(["bash", str(DEPLOY / "slurm-array.sh"), "--shards", "a b"], env=env, check=True, timeout=60)
    lines = said.read_text().splitlines()
    assert lines == [f"sample|--worker|{i}/3|--shards|a b|" for i in range(3)]
    for line in lines:
        parses(shlex.join(["gen", *line.strip("|").split("|")]))


def test_the_workflow_calls_targets_that_exist() -> None:
    """Each `make` of the workflow is a target, and every job of the recipe is there."""
    jobs: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    called = [step["run"] for job in jobs.values() for step in job["steps"] if step.get("run", "").startswith("make ")]
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    assert (
        {line.split()[1] for line in called}
        == {"lint", "install", "wheel", "docs", "audit", "test-newest", "test-lowest"}
        <= targets
    )
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_every_file_says_what_was_tried() -> None:
    """Nobody should mistake an untried script for a tried one."""
    for path in DEPLOY.iterdir():
        text = path.read_text()
        assert "# Tried:" in text, path.name
        assert "# Not tried:" in text, path.name
