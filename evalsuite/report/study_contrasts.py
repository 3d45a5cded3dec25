"""The parts of a study's page that compare arms: with the controls, and strategies with each other."""

from __future__ import annotations

from evalsuite.page import curves
from evalsuite.page.blocks import Block, Plot, Section, Table, number
from evalsuite.report.study_lines import differences, metric, not_judged, pick
from evalsuite.study.analysis import Analysis
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Contrast
from evalsuite.study.kinds import CAUSAL, WHAT, WITHOUT_STRATEGY


def sections(found: Analysis) -> list[Section]:
    """The parts that this study's arms allow."""
    made = [Section("Are the synthetic images the cause?", _causal(found))]
    if others := [c for c in found.contrasts if c.family == "arms"]:
        made.append(Section("Against the other arms", _others(found, others)))
    if len(found.design.strategies) > 1:
        made.append(Section("Strategies compared", _strategies(found)))
    if found.lucks:
        made.append(Section("Luck of the generator and of the classifier", _luck(found)))
    return [*made, Section("Controls", _controls(found))]


def _causal(found: Analysis) -> list[Block]:
    shown = [c for c in found.contrasts if c.family == "controls"]
    if not shown:
        return [f"Not measured: this study has no arm of {' or '.join(WHAT[kind] for kind in CAUSAL)}."]
    dose, kinds = f"{found.reference:g}:1", [kind for kind in CAUSAL if kind in found.design.control_kinds]
    said = [
        "The same real images and the same effort without synthetic ones: "
        f"{'; '.join(WHAT[kind] for kind in kinds)}. "
        "Only a gain over "
        + ("both" if len(kinds) > 1 else "this")
        + " is due to what the synthetic images show. Differences are paired: the same test images and the same seeds.",
        f"The family named in advance is every contrast at {dose}: groups, numbers of real images and controls; there "
        "'helps' and 'hurts' must survive Holm's correction. Other doses are exploratory.",
    ]
    if len(kinds) < len(CAUSAL):
        lacks = [WHAT[kind] for kind in CAUSAL if kind not in kinds]
        said.append(f"Not measured: {'; '.join(lacks)}. Such an arm may explain a gain over the other.")
    if "randaugment" in kinds:
        said.append("RandAugment does not depend on the dose and was trained once.")
    if "real-repeated" in kinds and found.design.control_doses == "reference":
        said.append(f"Images were repeated for {dose} only; `--controls-at all` trains that arm at every dose.")
    return [
        " ".join(said),
        differences(found.lacking, shown, "With synthetic images against the same effort without"),
        *not_judged(found.lacking),
    ]


def _others(found: Analysis, shown: list[Contrast]) -> list[Block]:
    return [
        f"Each optional arm at equal doses, paired. The family named in advance is every such contrast at "
        f"{found.reference:g}:1. Against shuffled labels nothing but the labels differs; against all real images the "
        "difference is what synthetic images leave to gain.",
        differences(found.lacking, shown, "With synthetic images against the other arms"),
        *not_judged(found.lacking),
    ]


def _strategies(found: Analysis) -> list[Block]:
    plots: list[Block] = []
    pairs = [c for c in found.contrasts if c.family == "strategies"]
    for size in found.design.sizes:
        (real,) = (line for line in pick(found, ALL, "real", None, 0.0) if line.size == size)
        lines = []
        for strategy in found.design.strategies:
            mine = [x for x in found.lines if (x.group, x.kind, x.strategy, x.size) == (ALL, "mix", strategy, size)]
            dots = [(x.ratio, x.score, x.low, x.high) for x in [real, *mine]]
            lines.append(curves.Curve(strategy or "all synthetic images", dots))
        title = f"Strategies, {size} real images per class"
        x_label = "synthetic images for each real one"
        plots.append(Plot(curves.plot_curves(lines, title=title, x_label=x_label, y_label=metric(found))))
    return [
        *plots,
        "Strategies are compared at equal doses and numbers of real images, paired. The family named in advance is "
        f"every pair at {found.reference:g}:1 in every group and size; there a verdict must survive Holm's correction.",
        differences(found.lacking, pairs, "One strategy against another"),
        *not_judged(found.lacking),
    ]


def _luck(found: Analysis) -> list[Block]:
    rows = [
        (kind if kind == "mix" else WHAT[kind], strategy or "all", str(size), f"{ratio:g}:1", *map(_points, sds))
        for (kind, strategy, size, ratio), of in found.lucks.items()
        for sds in [(of.generators, of.classifiers)]
    ]
    head = ("arm", "strategy", "real per class", "dose", "between generators, points", "between classifiers, points")
    return [
        f"{found.design.generators} generators were tuned on the same real images, with other seeds. Standard "
        "deviation between them with one classifier's seed; and between classifier's seeds, each with its own draw of "
        "real images, of what the generators do not explain. Few of either say little. All intervals of this page hold "
        "both.",
        Table(head, rows),
    ]


def _points(value: float) -> str:
    return number(100 * value, 1) or "one seed"


def _controls(found: Analysis) -> list[Block]:
    rows = []
    for size in found.design.sizes:
        ratio = found.design.control_ratio(size)
        shown = [("real images only", pick(found, ALL, "real", None, 0.0))]
        shown += [
            (f"with synthetic images, {ratio:g}:1" + (f", {s}" if s else ""), pick(found, ALL, "mix", s, ratio))
            for s in found.design.strategies
        ]
        for kind in found.design.control_kinds:
            for strategy in (None,) if kind in WITHOUT_STRATEGY else found.design.strategies:
                what = WHAT[kind] + (f", {strategy}" if strategy else "")
                shown += [
                    (f"{what}, {dose:g}:1" if found.design.control_doses == "all" else what, lines)
                    for dose in found.design.control_ratios(kind, size)
                    if (lines := pick(found, ALL, kind, strategy, dose))
                ]
        for what, lines in shown:
            for line in lines:
                if line.size in (size, 0):  # 0: all real images, whatever the size
                    rows.append((str(size), what, f"{line.score:.3f}", f"{line.low:.3f} to {line.high:.3f}"))
    return [
        "The scores of the optional arms beside those that they are compared with.",
        Table(("real per class", "arm", metric(found), "95% interval"), rows),
    ]
