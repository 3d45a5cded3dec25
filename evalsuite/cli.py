"""The `evalsuite` command."""

from __future__ import annotations

from evalsuite.commands.fairness import fairness
from evalsuite.commands.predict import predict
from evalsuite.commands.report import report
from evalsuite.commands.run import run
from evalsuite.commands.selfcheck import selfcheck
from evalsuite.commands.study import study
from evalsuite.commands.train import train
from shards import console

app = console.new_app("Does synthetic data help, at which dose, and for whom?")
for command in (run, train, predict, fairness, study, report, selfcheck):
    app.command()(command)


def main() -> None:
    console.run(app)


if __name__ == "__main__":
    main()
