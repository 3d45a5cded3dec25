"""What trackers hold, by their own readers: points as (step, value) of each name, settings, and files."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

RECORD = "run.json"


@dataclass
class Tracked:
    """One run in one tool."""

    points: dict[str, list[tuple[int, float]]]
    settings: dict[str, str]
    outcome: dict[str, object]
    files: dict[str, bytes]
    state: str = ""


def run_id(folder: Path) -> str:
    """The id of the run that the folder is of."""
    return str(json.loads((folder / RECORD).read_text())["id"])


def tensorboard(folder: Path) -> Tracked:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (place,) = [p for p in (folder / "tensorboard").iterdir() if p.name == run_id(folder)]
    events = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    points = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    texts = {
        name.removesuffix("/text_summary"): events.Tensors(name)[-1].tensor_proto.string_val[0].decode()
        for name in events.Tags()["tensors"]
    }
    shown = MarkdownIt("commonmark").enable("table").render(texts.pop("settings"))
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", shown)]
    return Tracked(points, dict(zip(cells[::2], cells[1::2], strict=True)), dict(texts), {})


def wandb(folder: Path) -> list[Tracked]:
    """One for each time that the run was begun or resumed, by `wandb leet inspect`."""
    found = []
    for log in sorted((folder / "wandb").glob(f"offline-run-*-{run_id(folder)}/*.wandb")):
        program = [sys.executable, "-P", "-m", "wandb", "leet", "inspect", "--json", str(log)]
        said = subprocess.run(program, capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=300)
        records = [json.loads(line) for line in said.stdout.splitlines()]
        points: dict[str, list[tuple[int, float]]] = {}
        outcome: dict[str, object] = {}
        settings, state = {}, ""
        for record in records:
            match record["type"]:
                case "history":
                    item = {k: v for k, v in record["history"]["item"].items() if not k.startswith("_")}
                    step = int(item.pop("step"))
                    for name, value in item.items():
                        points.setdefault(name, []).append((step, value))
                case "summary":
                    outcome |= record["summary"].get("update", {})
                case "run":
                    settings = {k: str(v) for k, v in record["run"]["config"]["update"].items() if k != "_wandb"}
                case "exit":
                    state = str(record["exit"].get("exit_code", 0))
        files = {p.name: p.read_bytes() for p in (log.parent / "files").iterdir() if p.is_file()}
        found.append(Tracked(points, settings, outcome, files, state))
    return found


def mlflow(folder: Path, uri: str | None = None) -> Tracked:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    (run,) = client.search_runs(experiments, f"tags.`dermforge.run` = '{run_id(folder)}'")
    points = {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    files = {}
    for file in client.list_artifacts(run.info.run_id):
        files[file.path] = Path(client.download_artifacts(run.info.run_id, file.path)).read_bytes()
    return Tracked(points, dict(run.data.params), dict(run.data.tags), files, run.info.status)
