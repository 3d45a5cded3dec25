"""`docker compose up`: the lines of `make demo`, and a report that this machine alone can read."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from documented_commands import PROGRAMS

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
STEPS = [name for name in SERVICES if name != "report"]


@pytest.mark.parametrize("path", [COMPOSE, ROOT / "deploy" / "compose.yaml"], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_specification_accepts_it(path: Path) -> None:
    """The schema that Compose's own specification publishes."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is a development dependency")
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run([sys.executable, "-P", *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_steps_are_the_lines_of_make_demo() -> None:
    """A demo that drifts from the one that is measured is found here."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ndemo: install\n")[1].split("\n\n")[0]
    lines = re.sub(r"\s*\\\n\s*", " ", recipe).replace("$(BIN)/", "").replace("$(DEMO)", "/data").splitlines()
    demo = [shlex.split(line.partition(">")[0]) for line in lines if "bench headlines" not in line]
    assert [shlex.split(SERVICES[name]["command"]) for name in STEPS] == demo
    assert {words[0] for words in demo} <= set(PROGRAMS)


def test_each_step_waits_for_what_it_reads() -> None:
    waits = {name: set(one.get("depends_on", {})) for name, one in SERVICES.items()}
    assert waits == {
        "bundle": set(),
        "shards": {"bundle"},
        "phantoms": {"bundle"},  # which builds the image
        "study": {"shards", "phantoms"},
        "report": {"study"},
    }
    conditions = {one["condition"] for service in SERVICES.values() for one in service.get("depends_on", {}).values()}
    assert conditions == {"service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_right_that_it_does_not_need(name: str) -> None:
    """Not root, no capability, nothing gained, nothing written but the volume and /tmp; the steps have no network."""
    service = SERVICES[name]
    user, _, group = service["user"].partition(":")
    assert int(user) == int(group) == 10001  # the image's own
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "userns_mode", "devices", "secrets"} & set(service)
    assert service["volumes"] == (["demo:/data"] if name in STEPS else ["demo:/data:ro"])
    assert service.get("network_mode") == ("none" if name in STEPS else None)
    assert "ports" not in service or name == "report"


def test_the_report_is_served_to_this_machine_only() -> None:
    (port,) = SERVICES["report"]["ports"]
    assert re.fullmatch(r"127\.0\.0\.1:\$\{PORT:-\d+\}:8080", port)


def test_the_server_and_its_health_check_run_as_they_stand(tmp_path: Path) -> None:
    """On another port and folder; the check fails while there is no report."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def here(words: list[str]) -> list[str]:
        words = [word.replace("8080", port).replace("/data/report", str(tmp_path)) for word in words]
        assert words[0] == "python"
        return [sys.executable, *words[1:]]

    kind, *check = SERVICES["report"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = here(shlex.split(SERVICES["report"]["command"]))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            assert subprocess.run(here(check), capture_output=True, check=False, timeout=60).returncode != 0
            (tmp_path / "report.html").write_text("<p>the report</p>")
            end = time.monotonic() + 60
            while subprocess.run(here(check), capture_output=True, check=False, timeout=60).returncode != 0:
                assert time.monotonic() < end
        finally:
            server.terminate()
