"""Facts of what came out: gains, groups, classes, errors, and the checks of the images."""

from __future__ import annotations

import numpy as np

from evalsuite.fairness.metric_key import MetricKey
from evalsuite.report import methods, run_report
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.card_record import CardRecord, Written
from evalsuite.report.guidelines.fact import Fact, column_word, listed
from evalsuite.stats.estimate import points
from evalsuite.study import study_findings
from evalsuite.study.arm_scores import ALL
from evalsuite.study.outcomes import in_words

#: Pairs of classes that are told apart worst, of which the failure analysis has numbers.
MIXED_UP = 5


def headline(found: Artefacts) -> Fact | None:
    """The answer, with its interval."""
    if found.trial is None:
        return None
    source = f"{found.trial.name}/{found.trial.record}"
    if found.trial.run is None:
        if found.trial.study.lacking[ALL]:
            return None
        return Fact(study_findings.verdicts(found.trial.study)[ALL], source)
    answer = run_report.answer(found.trial.run)
    numbers = "; ".join(f"{what}: {value} ({rest})" for what, value, rest in answer.numbers[:2])
    return Fact(f"{answer.sentence} {numbers}.", source)


def performance(found: Artefacts) -> Fact | None:
    """The performance with its interval: of the trial's arms, else of the card."""
    return headline(found) or _card_performance(found)


def groups(found: Artefacts) -> Fact | None:
    """The primary metric by group and the gap; of a study the gains of its groups."""
    card = found.card
    if card is None:
        return _group_gains(found)
    said = []
    for column in card.columns:
        rows = [f"{r.group} {_of(card, r.metrics)} (n = {r.n})" for r in card.of(column)]
        gap = card.gap(column)
        between = "" if gap is None or gap.difference is None else f" Largest difference {gap.difference:.3f}"
        if gap is not None and between and gap.low is not None and gap.high is not None and gap.p is not None:
            between += f" ({gap.low:.3f} to {gap.high:.3f}, p {gap.p:.3g}), {gap.worst} against {gap.best}"
        said.append(f"{_metric(card)} by {column_word(column)}: {listed(rows, 20)}.{between + '.' if between else ''}")
    return Fact(" ".join(said), found.card_from) if said else None


def class_results(found: Artefacts) -> Fact | None:
    """Sensitivity and specificity of each class, with intervals."""
    card = found.card
    if card is None:
        return None
    said = []
    for cls in card.classes:
        parts = [(kind, card.all.metrics.get(f"{kind}:{cls}")) for kind in ("sensitivity", "specificity", "auroc")]
        said.append(f"{cls}: " + ", ".join(f"{kind} {made.text()}" for kind, made in parts if made is not None))
    return Fact(f"{'; '.join(said)}.", found.card_from)


def calibration(found: Artefacts) -> Fact | None:
    """Calibration error, slope and intercept."""
    card = found.card
    names = {"ece": "calibration error", "calibration_slope": "slope", "calibration_intercept": "intercept"}
    if card is None or not set(names) <= set(card.all.metrics):
        return None
    said = [f"{word} {card.all.metrics[name].text()}" for name, word in names.items()]
    return Fact(f"Calibration of all images: {', '.join(said)}.", found.card_from)


def confusion(found: Artefacts) -> Fact | None:
    """How many of each class were right, and the pairs that are mixed up most."""
    if found.trial is None or found.trial.run is None:
        return None
    test = found.trial.run.tests["mix"]
    table = np.zeros((len(test.classes), len(test.classes)), int)
    np.add.at(table, (test.labels, test.probs.argmax(axis=1)), 1)
    right = listed([f"{c} {table[i, i]} of {table[i].sum()}" for i, c in enumerate(test.classes)], 30)
    wrong = [(int(table[i, j]), a, b) for i, a in enumerate(test.classes) for j, b in enumerate(test.classes) if i != j]
    most = sorted((w for w in wrong if w[0]), key=lambda w: (-w[0], w[1], w[2]))[:MIXED_UP]
    mixed = listed([f"{a} taken for {b} {n} times" for n, a, b in most]) or "none"
    return Fact(
        f"Right, by class: {right}. Mixed up most: {mixed} (first seed, with synthetic images).",
        f"{found.trial.name}/arms, predictions on the test images",
    )


def detectable(found: Artefacts) -> Fact | None:
    """What the test set could have shown."""
    if found.trial is not None and found.trial.run is not None:
        whole = found.trial.run.comparison.of("all")[0]
        if whole.enough:
            return Fact(
                f"With {whole.n} test images a true difference of {100 * whole.detectable:.1f} points between the arms "
                "had a chance of 80 % to show.",
                f"{found.trial.name}/{found.trial.record}",
            )
    return None


def metrics(found: Artefacts) -> Fact | None:
    """What was measured."""
    if found.card is None:
        if found.trial is None:
            return None
        outcome = in_words(found.trial.study.design.metric)
        return Fact(f"Measured: {outcome}, named before training.", f"{found.trial.name}/plan.json")
    kinds = sorted(
        {MetricKey.parse(name)._replace(cls="").name for name in found.card.all.metrics} - {found.card.primary}
    )
    return Fact(
        f"Named in advance: {_metric(found.card)}. Also measured, overall and by group: {listed(kinds, 30)}.",
        found.card_from,
    )


def statistics(found: Artefacts) -> Fact | None:
    """How intervals and tests were made."""
    if found.trial is not None and found.trial.run is not None:
        return Fact(methods.of_run(found.trial.run)[1], f"{found.trial.name}/{found.trial.record}")
    if found.trial is not None:
        return Fact(
            "Variances are from a bootstrap of test images and seeds, the same resamples for all arms, so that "
            "differences are paired; intervals are Student's on Fisher's z scale for differences and Wilson's for "
            "scores, with degrees of freedom after Satterthwaite. Verdicts at the reference dose survive Holm's "
            f"correction over groups and sizes. Seeds: {found.trial.study.design.seeds}.",
            f"{found.trial.name}/{found.trial.record}",
        )
    if found.card is not None:
        made = sorted({m.method or "wilson" for row in found.card.rows for m in row.metrics.values() if m.enough})
        level = f"{100 * found.card.settings.confidence:g} %"
        return Fact(f"Intervals of {level}, by metric: {listed(made, 20)}.", found.card_from)
    return None


def fairness_methods(found: Artefacts) -> Fact | None:
    """How groups were compared."""
    if found.card is None and found.trial is None:
        return None
    columns = found.card.columns if found.card else (found.trial.study.design.groups,) if found.trial else ()
    by = listed([column_word(column) for column in columns])
    if not by:
        return None
    least = found.card.settings.min_count if found.card else None
    few = f" Groups of fewer than {least} images are named and not judged." if least else ""
    how = (
        "each group has an interval, the largest difference an interval and a p corrected for the number of pairs"
        if found.card
        else "each group's gain has an interval and a p of Holm's correction over groups"
    )
    return Fact(
        f"Groups were compared by {by}: {how}.{few}",
        found.card_from or (f"{found.trial.name}/{found.trial.record}" if found.trial else ""),
    )


def external_results(found: Artefacts) -> Fact | None:
    """Gains on the external images at the reference dose."""
    if found.trial is None or found.trial.study.external is None:
        return None
    study = found.trial.study
    if lacks := study.external.lacking[ALL]:  # type: ignore[union-attr]
        return Fact(f"External test images: not enough data ({lacks}).", f"{found.trial.name}/{found.trial.record}")
    said = []
    for g in study.external.gains:  # type: ignore[union-attr]
        if g.group == ALL and g.ratio == study.reference:
            gain, between = points(g.value, g.low, g.high)
            said.append(f"{g.size} real per class: {gain} points ({between}), {g.verdict}")
    return Fact(
        f"On the external test images, {study.reference:g}:1 against real images alone: {'; '.join(said)}.",
        f"{found.trial.name}/{found.trial.record}",
    )


def notes(found: Artefacts) -> Fact | None:
    """What the program itself warns of."""
    phantoms = found.real is not None and bool((found.real.test.rows["origin"] == "phantom").all())
    own: list[str] = []
    if found.trial is not None:
        own = list(found.trial.run.notes if found.trial.run else study_findings.notes(found.trial.study))
    said = [*own, *methods.limits(phantoms)] if found.trial is not None or found.card is not None else []
    return Fact(" ".join(said), "notes and limits of the report") if said else None


def phantom_limits(found: Artefacts) -> Fact | None:
    """What phantoms say of practice: nothing."""
    phantoms = found.real is not None and bool((found.real.test.rows["origin"] == "phantom").all())
    return Fact(methods.PHANTOMS, "real images of the plan") if phantoms else None


def prevalence(found: Artefacts) -> Fact | None:
    """The prevalence that predictive values and net benefit are for."""
    if found.card is None or not found.card.settings.prevalence:
        return None
    return Fact(
        f"Predictive values and net benefit are for a prevalence of {found.card.settings.prevalence:g}.",
        found.card_from,
    )


def _card_performance(found: Artefacts) -> Fact | None:
    card = found.card
    if card is None:
        return None
    return Fact(f"{_metric(card)} over {card.all.n} images: {_of(card, card.all.metrics)}.", found.card_from)


def _group_gains(found: Artefacts) -> Fact | None:
    if found.trial is None or all(found.trial.study.lacking[g] for g in found.trial.study.groups if g != ALL):
        return None
    said = study_findings.verdicts(found.trial.study)
    rows = [f"{group}: {text}" for group, text in said.items() if group != ALL]
    return Fact(" ".join(rows), f"{found.trial.name}/{found.trial.record}") if rows else None


def _metric(card: CardRecord) -> str:
    key = MetricKey.parse(card.primary)
    return key.label(card.settings.specificity) + (f" for {key.cls}" if key.cls else "")


def _of(card: CardRecord, made: dict[str, Written]) -> str:
    return made[card.primary].text() if card.primary in made else "not computed"
