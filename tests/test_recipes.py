"""Kubernetes and SkyPilot: files that their own tools accept, which run the same command as the Slurm array."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import gen.cli

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
CLAIM, POLICY, JOB = MANIFESTS
SKYPILOT: dict[str, Any] = yaml.safe_load((DEPLOY / "skypilot.yaml").read_text(encoding="utf-8"))
POD: dict[str, Any] = JOB["spec"]["template"]["spec"]
READ_BY_SKYPILOT = """
import sys, sky
task = sky.Task.from_yaml(sys.argv[1])
(resources,) = task.resources
print(task.num_nodes, resources.use_spot, dict(resources.accelerators))
"""


def by_kubernetes(index: int) -> list[str]:
    """The arguments of a pod, filled in as the kubelet does."""
    (container,) = POD["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]} | {"JOB_COMPLETION_INDEX": str(index)}
    return [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word) for word in container["args"]]


def by_shell(script: list[str], variables: dict[str, str], folder: Path) -> list[str]:
    """The words that a script gives to `gen`."""
    program, said = folder / "bin" / "gen", folder / "said"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n')
    program.chmod(0o755)
    variables = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(folder / "home"), **variables}
    subprocess.run(["bash", *script], env=variables, check=True, timeout=60)
    return ["gen", *said.read_text(encoding="utf-8").splitlines()]


def by_skypilot(rank: int, folder: Path) -> list[str]:
    machine = {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": str(SKYPILOT["num_nodes"])}
    return by_shell(["-c", SKYPILOT["run"]], SKYPILOT["envs"] | machine, folder)


def by_slurm(task: int, tasks: int, options: list[str], folder: Path) -> list[str]:
    array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": str(tasks)}
    return by_shell([str(DEPLOY / "slurm-array.sh"), *options], array, folder)


def test_every_pod_and_machine_runs_the_command_of_the_slurm_array(tmp_path: Path) -> None:
    """`gen sample --worker I/N` with the same options, every I once; `gen` itself reads it."""
    command = typer.main.get_command(gen.cli.PROGRAM.app()).commands["sample"]  # type: ignore[attr-defined]
    pods, machines = JOB["spec"]["completions"], SKYPILOT["num_nodes"]
    found = {
        "kubernetes": [by_kubernetes(index) for index in range(pods)],
        "skypilot": [by_skypilot(rank, tmp_path / f"sky{rank}") for rank in range(machines)],
    }
    for name, lines in found.items():
        workers = []
        for index, words in enumerate(lines):
            where = tmp_path / f"{name}{index}"
            assert words == by_slurm(index, len(lines), words[4:], where)
            read = command.make_context("sample", words[2:]).params
            workers.append(read["worker"])
            assert (read["fresh"], read["ray"]) == (False, None)  # so it resumes, by itself
            assert {"--shards", "--engine", "--per-cell"} == {word for word in words[4:] if word.startswith("--")}
        assert workers == [f"{index}/{len(lines)}" for index in range(len(lines))]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_kubernetes_accepts_the_manifests(manifest: dict[str, Any]) -> None:
    """The schema of each release since the one that the file names, strictly: a misspelt field is refused."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="it is a development dependency")
    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_pod_has_no_right_that_it_does_not_need() -> None:
    (container,) = POD["containers"]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] == 10001  # the image's own
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD)
    assert not [volume for volume in POD["volumes"] if "hostPath" in volume]
    assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])


def test_the_job_hangs_together() -> None:
    """As many workers as pods, one volume for all of them, one GPU each, and the policy chooses the pods."""
    (container,) = POD["containers"]
    job, variables = JOB["spec"], {one["name"]: one["value"] for one in container["env"]}
    assert job["completionMode"] == "Indexed"
    assert int(variables["WORKERS"]) == job["completions"]
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    claims = [
        volume["persistentVolumeClaim"]["claimName"] for volume in POD["volumes"] if "persistentVolumeClaim" in volume
    ]
    assert claims == [CLAIM["metadata"]["name"]]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert POLICY["spec"] == {
        "podSelector": {"matchLabels": job["template"]["metadata"]["labels"]},
        "policyTypes": ["Ingress", "Egress"],
    }
    bad_input = job["podFailurePolicy"]["rules"][0]
    assert (bad_input["action"], bad_input["onExitCodes"]["values"]) == ("FailJob", [2])
    assert bad_input["onExitCodes"]["containerName"] == container["name"]


def test_skypilot_copies_the_bundle_and_no_other_folder() -> None:
    """What lies beside it may be patients' images."""
    assert SKYPILOT["file_mounts"] == {"~/bundle": "./bundle"}
    assert set(SKYPILOT["workdir"]) == {"url", "ref"}
    assert "ports" not in SKYPILOT["resources"]


def test_skypilot_installs_by_digest() -> None:
    installs = [line for line in SKYPILOT["setup"].splitlines() if "pip install" in line]
    assert [("--require-hashes" in line, "--no-deps" in line) for line in installs] == [(True, False), (False, True)]


def test_skypilot_reads_the_task(tmp_path: Path) -> None:
    """SkyPilot itself, which asks its catalogue for the name of the GPU: here it has one row."""
    if importlib.util.find_spec("sky") is None:
        pytest.skip("SkyPilot is not installed; it needs an environment of its own")
    catalogue = tmp_path / ".sky" / "catalogs" / "v8" / "common" / "accelerators.csv"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text("AcceleratorName,Clouds\nL4,\"['AWS', 'GCP']\"\n")
    (tmp_path / "bundle").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ_BY_SKYPILOT, str(DEPLOY / "skypilot.yaml")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2] == "4 True {'L4': 1}"
