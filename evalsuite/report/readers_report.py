"""The report of `evalsuite readers`: do readers read better with help, and in which groups?"""

from __future__ import annotations

import math

import numpy as np

from evalsuite.page.blocks import Answer, Block, Cell, Report, Section, Table, number, p_value
from evalsuite.readers.analysis import CaseSet, ReaderAnalysis
from evalsuite.readers.choices import Fixed, Metric
from evalsuite.readers.obuchowski_rockette import Analysis, Difference
from evalsuite.stats.hypothesis_tests import holm

#: What the conclusion holds for.
REACH = {
    Fixed.neither: "readers and cases like these",
    Fixed.readers: "these readers, and cases like these",
    Fixed.cases: "readers like these, and these cases",
}
METHODS = (
    "Every reader rated every case in every modality. Modalities are compared by Obuchowski & Rockette's analysis of "
    "variance with Hillis' degrees of freedom (Statistics in Medicine 2007, 26:596); with jackknife covariances it is "
    "that of Dorfman, Berbaum & Metz. Intervals of one modality are from its data alone. Intervals of single readers "
    "hold for cases like these and that reader."
)


def report(found: ReaderAnalysis) -> Report:
    """All sections."""
    sections = [Section("Modalities", _modalities(found))]
    if found.groups:
        sections.append(Section(f"By {found.group_column}", _groups(found)))
    sections += [Section("Readers", _readers(found)), Section("Methods", _methods(found))]
    return Report(f"Readers of {found.source}", answer(found), sections, notes=notes(found))


def answer(found: ReaderAnalysis) -> Answer:
    """The verdict in a sentence, and the numbers it rests on."""
    best = found.whole.difference(found.settings.fixed)
    numbers = [("readers", str(len(found.reader_names)), ""), ("cases", str(found.whole.cases), _cases(found.whole))]
    main = found.whole.analyses.get(found.settings.fixed)
    for mean in main.means if main else ():
        numbers.append((f"{label(found)}, {mean.modality}", number(mean.value), interval(mean.low, mean.high)))
    return Answer(sentence(found, found.whole), numbers, _details(found, best))


def sentence(found: ReaderAnalysis, one: CaseSet) -> str:
    """What the comparison on these cases says."""
    difference = one.difference(found.settings.fixed)
    if difference is None:
        if one.lacking:
            return f"Not enough data: {one.lacking}."
        return f"One modality, {found.modalities[0]}: nothing to compare."
    numbers = f"{difference.value:+.3f} ({interval(difference.low, difference.high)}, p {p_text(difference.p)})"
    what = f"The readers' mean {label(found)}, {difference.b} against {difference.a}: {numbers}"
    for_whom = f"for {REACH[found.settings.fixed]}"
    said = one.verdict(found.settings)
    if said == "cannot be determined":
        seen = difference.detectable()
        rest = f"; a difference of {seen:.3f} would have been seen with 80 %" if math.isfinite(seen) else ""
        return f"{what}. Whether it differs {for_whom} cannot be determined{rest}."
    words = {
        "helps": f"{difference.b} helps",
        "hurts": f"{difference.b} hurts",
        "no relevant difference": f"no difference beyond {found.settings.margin:g}",
    }
    if said == "not enough data":
        return f"{what}: the readers did not differ at all, which shows no error."
    return f"{what}: {words[said]}, {for_whom}."


def label(found: ReaderAnalysis) -> str:
    """The metric as a reader knows it."""
    metric = found.settings.metric
    return "AUROC" if metric is Metric.auroc else f"{metric} from {found.settings.threshold:g}"


def notes(found: ReaderAnalysis) -> list[str]:
    """What a reader of the page must know besides."""
    out = []
    if found.left_out:
        out.append(f"Left out, because a reader did not rate them in every modality: {len(found.left_out)} cases.")
    values = found.whole.figures
    if found.settings.metric is Metric.auroc and (values < 0.5).mean() > 0.5:
        out.append("Most AUROCs lie below 0.5: is a higher rating surer of the finding?")
    return out


def _details(found: ReaderAnalysis, main: Difference | None) -> list[str]:
    out = [
        f"{one.b} against {one.a}: {one.value:+.3f} ({interval(one.low, one.high)}, Holm p {p_text(p)})."
        for one, p in _pairs(found.whole.analyses.get(found.settings.fixed))[1:]
    ]
    for kind in Fixed:
        other = found.whole.difference(kind)
        if kind is not found.settings.fixed and other is not None:
            out.append(
                f"For {REACH[kind]}: {other.value:+.3f} ({interval(other.low, other.high)}, p {p_text(other.p)})."
            )
    unjudged = [one.name for one in found.groups if one.difference(found.settings.fixed) is None]
    if unjudged:
        out.append(f"Not judged, for too few cases: {', '.join(unjudged)}.")
    worse = [one.name for one in found.groups if one.verdict(found.settings) == "hurts"]
    if worse and main is not None:
        out.append(f"{main.b} hurts in {', '.join(worse)}.")
    return out


def _modalities(found: ReaderAnalysis) -> list[Block]:
    rows, means, several = [], [], len(found.modalities) > 2
    for kind, analysis in found.whole.analyses.items():
        for one, p_holm in _pairs(analysis):
            rows.append(
                [
                    REACH[kind],
                    f"{one.b} - {one.a}",
                    f"{one.value:+.3f}",
                    interval(one.low, one.high),
                    number(one.error, 4),
                    _df(one.df),
                    p_text(one.p),
                    *([p_text(p_holm)] if several else []),
                ]
            )
        if kind is found.settings.fixed:
            means = [[m.modality, number(m.value), interval(m.low, m.high), _df(m.df)] for m in analysis.means]
    confidence = f"{found.settings.confidence:.0%} interval"
    blocks: list[Block] = [
        Table(
            ["holds for", "difference", "value", confidence, "error", "df", "p", *(["Holm p"] if several else [])],
            rows,
            "Differences of the readers' mean",
        ),
        Table(["modality", label(found), confidence, "df"], means, "The readers' mean in each modality"),
    ]
    tests = [
        [REACH[kind], number(a.test.f), str(a.test.df1), _df(a.test.df2), p_text(a.test.p)]
        for kind, a in found.whole.analyses.items()
        if a.test is not None and several
    ]
    if tests:
        blocks.append(Table(["holds for", "F", "df", "df", "p"], tests, "Are all modalities equal?"))
    return blocks


def _pairs(analysis: Analysis | None) -> list[tuple[Difference, float]]:
    """Each difference with Holm's p over all of them."""
    differences = analysis.differences if analysis else ()
    adjusted = holm(np.array([one.p for one in differences]))
    return list(zip(differences, adjusted.tolist(), strict=True))


def _groups(found: ReaderAnalysis) -> list[Block]:
    rows: list[list[str | Cell]] = []
    for one in found.groups:
        difference, cases = one.difference(found.settings.fixed), Cell(str(one.cases), [_cases(one)])
        if difference is None:
            rows.append([one.name, cases, Cell("not judged", [one.lacking]), "", "", ""])
            continue
        value = Cell(f"{difference.value:+.3f}", [interval(difference.low, difference.high)])
        rows.append([one.name, cases, value, p_text(difference.p), p_text(one.p_holm), one.verdict(found.settings)])
    head = ["group", "cases", " - ".join(reversed(found.modalities[:2])), "p", "Holm p", "verdict"]
    return [Table(head, rows, label(found))]


def _readers(found: ReaderAnalysis) -> list[Block]:
    rows = [
        [
            str(one["reader"]),
            f"{one['modality']} - {one['against']}",
            number(one["a"]),
            number(one["b"]),
            f"{one['difference']:+.3f}",
            interval(one["low"], one["high"]),
            p_text(one["p"]),
        ]
        for one in found.readers.to_dict("records")
    ]
    return [Table(["reader", "modalities", "from", "to", "difference", "interval", "p"], rows, label(found))]


def _methods(found: ReaderAnalysis) -> list[Block]:
    parts = found.whole.components
    names = ["reader", "modality x reader", "error", "cov1", "cov2", "cov3"]
    values = [parts.reader, parts.modality_reader, parts.error, parts.cov1, parts.cov2, parts.cov3]
    rows = [[name, number(value, 7)] for name, value in zip(names, values, strict=True)]
    return [
        METHODS,
        f"Covariances: {found.settings.method}. Margin: {found.settings.margin:g}.",
        Table(["component", "estimate"], rows, "Variance components, for planning a study"),
    ]


def _cases(one: CaseSet) -> str:
    patients = "" if one.patients == one.cases else f", {one.patients} patients"
    return f"{one.positive} positive, {one.cases - one.positive} negative{patients}"


def interval(low: float, high: float) -> str:
    """The interval of a difference or a mean, never -0.000."""
    return f"{round(low, 3) + 0.0:.3f} to {round(high, 3) + 0.0:.3f}" if math.isfinite(low) else "not enough data"


def _df(df: float) -> str:
    return number(df, 1) if math.isfinite(df) else "normal"


def p_text(p: float) -> str:
    """As shown; a p that is not a number says so."""
    return p_value(p) if math.isfinite(p) else "not known"
