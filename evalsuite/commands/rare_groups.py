"""`evalsuite rare-groups`: how well does a classifier do where few images have a label?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.unused_options import used_only
from evalsuite.fairness.metric_key import ShareMetric


@used_only("with a sensitivity or a specificity", lambda given: given["metric"] != "accuracy", "positive")
def rare_groups(
    real: Annotated[Path, typer.Argument(help="predictions on labelled images: id, label, prob_<class>..., groups")],
    synthetic: Annotated[
        Path, typer.Argument(help="predictions on synthetic images: the same columns, and parent, the real image's id")
    ],
    groups: Annotated[str, typer.Option(help="group column, such as the skin type")],
    metric: Annotated[ShareMetric, typer.Option(help="what is estimated")] = ShareMetric.accuracy,
    positive: Annotated[str, typer.Option(help="class of a sensitivity or a specificity")] = "",
    cluster: Annotated[str, typer.Option(help="column of the patient, in both tables")] = "",
    parent: Annotated[str, typer.Option(help="column of the parent")] = "parent",
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="of the intervals")] = 0.95,
    json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Estimate accuracy or sensitivity in rare groups, from few labels and many synthetic images of unlabelled images.

    A synthetic image stands for the real one that it was made from. What both differ by on labelled images debiases
    the synthetic images of unlabelled ones (prediction-powered inference, arXiv 2403.07008). Images that were made
    from no real one cannot be used.

    Example: evalsuite rare-groups real.parquet synthetic.parquet --groups fst --metric sensitivity --positive melanoma
    """
    from evalsuite.fairness import predictions
    from evalsuite.fairness import rare_groups as estimates

    test = predictions.load(real, groups=[groups], cluster=cluster or None)
    made = predictions.load(synthetic, groups=[groups], cluster=cluster or None)
    found = estimates.estimate(test, made, estimates.parents(synthetic, parent), groups, metric, positive, confidence)
    if json:
        console.print_json({"metric": metric, "positive": positive, "column": groups, "groups": found})
        return
    name = f"{metric} of {positive}" if positive else str(metric)
    table = Table(title=f"{name} by {groups} ({confidence:.0%} intervals)")
    for head in (groups, "real", "with twin", "others", "real alone", "with synthetic images", "worth, in real images"):
        table.add_column(head)
    for one in found:
        powered, counts = one.powered, (str(one.real), str(one.twins), str(one.others))
        shown = ("not used", "") if one.doubt else (powered.estimate.text(), f"{powered.worth:.0f}")
        table.add_row(one.name, *counts, powered.real_only.text(), *shown)
    console.out.print(table)
    for one in found:
        if one.doubt:
            console.say(f"{groups} {one.name}: {one.doubt}")
        if one.strange:
            console.say(
                f"{groups} {one.name}: {one.strange} synthetic images left out, made from another class or group"
            )
        if one.twins < one.real:
            console.say(
                f"{groups} {one.name}: {one.real - one.twins} real images have no synthetic one and are not used"
            )
