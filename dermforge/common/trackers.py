"""One run in TensorBoard, Weights & Biases or MLflow: the few calls that all of them have, and nothing over a network.

W&B is offline and MLflow's store is a file, unless the user's own environment says otherwise (`WANDB_MODE`,
`MLFLOW_TRACKING_URI`). No image, no id of an image and no path is in what they are given.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dermforge.common.digests import digest_file
from dermforge.common.markdown import escaped, table

Value = str | int | float
#: The project or experiment of all runs, where the user's environment names none.
PROJECT = "dermforge"
#: The tag by which a run is found again in an MLflow store.
TAG = "dermforge.run"
#: Seconds that W&B may take to begin, and at the end to send what is left, where it is not offline.
PATIENCE = 60
#: Seconds within which TensorBoard's thread looks after its file: a step never waits for longer.
FLUSH = 2
#: What MLflow takes at once of parameters and of metrics, and of one parameter.
MOST_PARAMETERS, MOST_METRICS, LONGEST_PARAMETER = 100, 1000, 500


@dataclass(frozen=True)
class Run:
    """What is tracked. id: the same for a run that is resumed; folder: for what the tools write on this machine."""

    id: str
    name: str
    folder: Path
    settings: Mapping[str, Value]


class Tracker(Protocol):
    """One run in one tool; to make one opens or continues it, and any call may raise what the tool raises."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step; those that an interrupted run has logged already may come again."""

    def outcome(self, values: Mapping[str, Value]) -> None:
        """What came out in the end."""

    def artefact(self, path: Path) -> None:
        """A file that the run wrote."""

    def close(self, done: bool) -> None:
        """Finish; `done`: the work was not interrupted."""


class TensorBoard:
    """Event files in `tensorboard/ID`; an artefact is named there, with its digest."""

    def __init__(self, run: Run) -> None:
        self.run, self.step = run, 0
        self.opened: Any = None

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        writer, self.step = self._writer(step), step
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()  # it writes in a thread: a full disk is known here or never

    def outcome(self, values: Mapping[str, Value]) -> None:
        writer = self._writer()
        for name, value in values.items():
            if isinstance(value, str):
                writer.add_text(name, value, self.step)
            else:
                writer.add_scalar(name, value, self.step)
        writer.flush()

    def artefact(self, path: Path) -> None:
        self._writer().add_text(path.name, f"sha256 {digest_file(path)}", self.step)

    def close(self, done: bool) -> None:
        if self.opened is not None:
            self.opened.close()

    def _writer(self, first_step: int | None = None) -> Any:
        """The writer; what an interrupted run logged from its first step on is hidden by it, and comes again."""
        if self.opened is None:
            from torch.utils.tensorboard import SummaryWriter

            place = self.run.folder / "tensorboard" / self.run.id
            _wait_for_a_later_name(place)
            self.opened = SummaryWriter(str(place), purge_step=first_step, flush_secs=FLUSH)
            rows = [[escaped(name), escaped(str(value))] for name, value in self.run.settings.items()]
            self.opened.add_text("settings", table(["setting", "value"], rows), first_step or 0)
        return self.opened


class WandB:
    """An offline run in `wandb/`, which `wandb sync` sends; a resumed run has a second file under the same id."""

    def __init__(self, run: Run) -> None:
        import wandb

        quiet = wandb.Settings(
            console="off",
            silent=True,
            host=PROJECT,  # not this machine's
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            init_timeout=PATIENCE,
            finish_timeout=PATIENCE,
        )
        self.run = wandb.init(
            mode=os.environ.get("WANDB_MODE", "offline"),
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(run.folder),
            id=run.id,
            resume="allow",
            name=run.name,
            config=dict(run.settings),
            settings=quiet,
        )
        self.run.define_metric("*", step_metric="step")  # its own step only counts calls

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.run.log({**values, "step": step})

    def outcome(self, values: Mapping[str, Value]) -> None:
        self.run.summary.update(dict(values))

    def artefact(self, path: Path) -> None:
        copy = Path(self.run.dir) / path.name  # of a file elsewhere it keeps a link, which names this machine's folders
        shutil.copyfile(path, copy)
        self.run.save(str(copy), base_path=self.run.dir, policy="now")

    def close(self, done: bool) -> None:
        self.run.finish(exit_code=0 if done else 1)


class MLflow:
    """A run of the experiment `dermforge`, in `mlflow.db` unless the environment names a store."""

    def __init__(self, run: Run) -> None:
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 7 take four minutes
        from mlflow import MlflowClient
        from mlflow.entities import Param

        there = os.environ.get("MLFLOW_TRACKING_URI")
        run.folder.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(tracking_uri=there or f"sqlite:///{run.folder.absolute() / 'mlflow.db'}")
        files = None if there else (run.folder.absolute() / "mlflow").as_uri()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT), files)
        found = self.client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'", max_results=1)
        self.resumed = bool(found)
        known = found[0] if found else self.client.create_run(experiment, run_name=run.name, tags={TAG: run.id})
        self.id = known.info.run_id
        if found:
            self.client.update_run(self.id, status="RUNNING")
        self.logged: dict[str, set[tuple[int, float]]] = defaultdict(set)
        new = {_key(k): v for k, v in run.settings.items() if _key(k) not in known.data.params}
        parameters = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in new.items()]
        for first in range(0, len(parameters), MOST_PARAMETERS):
            self.client.log_batch(self.id, params=parameters[first : first + MOST_PARAMETERS])

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        named = {_key(name): float(value) for name, value in values.items()}
        new = [Metric(k, v, now, step) for k, v in named.items() if (step, v) not in self._before(k)]
        for first in range(0, len(new), MOST_METRICS):
            self.client.log_batch(self.id, metrics=new[first : first + MOST_METRICS])

    def outcome(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                self.client.set_tag(self.id, _key(name), value)
        self.metrics({name: value for name, value in values.items() if not isinstance(value, str)}, 0)

    def artefact(self, path: Path) -> None:
        self.client.log_artifact(self.id, str(path))

    def close(self, done: bool) -> None:
        self.client.set_terminated(self.id, "FINISHED" if done else "KILLED")

    def _before(self, key: str) -> set[tuple[int, float]]:
        """Steps and values that the interrupted run has logged: the store would keep them twice."""
        if self.resumed and key not in self.logged:
            self.logged[key] = {(m.step, m.value) for m in self.client.get_metric_history(self.id, key)}
        return self.logged[key]

    def _experiment(self, name: str, files: str | None) -> str:
        known = self.client.get_experiment_by_name(name)
        return str(known.experiment_id if known else self.client.create_experiment(name, artifact_location=files))


def _wait_for_a_later_name(folder: Path) -> None:
    """Until an event file begun now is read after those there: they are read by name, which begins with the second.

    Of one second, the process number would decide, and an interrupted run could hide what came after it.
    """
    begun = [int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*")]
    while begun and time.time() < max(begun) + 1:
        time.sleep(0.05)


def _key(name: str) -> str:
    """A name in the letters that MLflow takes."""
    return re.sub(r"[^\w./ :-]", "-", name)
