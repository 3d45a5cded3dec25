"""Deployment files: they parse, their commands and options exist, and the array script divides the work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import bench.cli
import gen.cli

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMMANDS: dict[str, Any] = {
    name: typer.main.get_command(program.app())
    for name, program in (("gen", gen.cli.PROGRAM), ("bench", bench.cli.PROGRAM))
}


def parses(line: str) -> None:
    """The program accepts the command line; nothing is run."""
    words = shlex.split(re.sub(r"\$\{?[A-Z_]+(?::-([^}]*))?\}?", lambda m: m[1] or "1", line))
    command = COMMANDS[words[0]].commands[words[1]]
    command.make_context(words[1], words[2:])


def test_the_compose_file_runs_commands_that_exist() -> None:
    """Every service's command line is parsed by the program itself."""
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert {"sample", "bench", "ray-head", "ray-worker", "ray-sample"} <= set(services)
    for service in services.values():
        if service["command"].split()[0] in COMMANDS:
            parses(service["command"])
        assert service["image"]
        assert service["shm_size"] == "8gb"
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"


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
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[1] for line in called} == {"lint", "install", "wheel", "docs", "audit"} <= targets
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_every_file_says_what_was_tried() -> None:
    """Nobody should mistake an untried script for a tried one."""
    for path in DEPLOY.iterdir():
        text = path.read_text()
        assert "# Tried:" in text, path.name
        assert "# Not tried:" in text, path.name
