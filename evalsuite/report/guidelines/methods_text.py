"""A methods paragraph out of the artefacts: plain sentences, each with the works that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalsuite.report.guidelines import facts_checks, facts_generator, facts_images, facts_training
from evalsuite.report.guidelines.artefacts import Artefacts, Trial
from evalsuite.report.guidelines.card_record import CardRecord
from evalsuite.report.guidelines.checklist import read_checklist
from evalsuite.report.guidelines.fact import Fact, column_word, listed
from evalsuite.report.guidelines.names import Guideline
from shards import ImageSet, Sample

#: The works of each solver, by the first part of its name in a record.
SOLVERS = {
    "ddim": "song2020ddim",
    "euler": "karras2022elucidating",
    "euler-ancestral": "karras2022elucidating",
    "heun": "karras2022elucidating",
    "dpmsolver++": "lu2022dpmsolver",
    "unipc": "zhao2023unipc",
    "lcm": "luo2023lcm",
    "tcd": "zheng2024tcd",
}
#: How a card names the methods of its intervals, in words, and their works.
INTERVALS = {
    "wilson": ("proportions have Wilson intervals", "wilson1927"),
    "delong": ("AUROC DeLong intervals", "delong1988"),
    "price-bonett": ("means of shares the intervals of Price and Bonett", "price2004"),
}


@dataclass(frozen=True)
class Sentence:
    """One sentence or more, without the last full stop, and the keys of what it cites."""

    text: str
    cites: tuple[str, ...] = ()


def paragraph(found: Artefacts, guidelines: Sequence[Guideline]) -> list[Sentence]:
    """All that the artefacts say of the methods; nothing where they say nothing."""
    trial = found.trial
    said = [
        _plain(facts_images.real_images(found)),
        _plain(facts_images.phantom_truth(found)),
        *_generation(found),
        _plain(facts_generator.lineage(found)),
        *(_training(found, trial) if trial else []),
        *(_trial_statistics(trial) if trial else []),
        *(_card_statistics(found.card) if found.card else []),
        _tone(found),
        _software(found),
        Sentence(
            f"This report was prepared along {listed([read_checklist(g).title.partition(':')[0] for g in guidelines])}",
            tuple(read_checklist(g).cite for g in guidelines),
        ),
    ]
    return [sentence for sentence in said if sentence is not None]


def _plain(fact: Fact | None) -> Sentence | None:
    return None if fact is None else Sentence(fact.text.rstrip("."))


def _generation(found: Artefacts) -> list[Sentence]:
    """Which images were drawn, by which solver and guidance: of the first image of each set and strategy."""
    made = facts_generator.synthetic_images(found)
    drawn = facts_generator.generator(found)
    if made is None or drawn is None:
        return [sentence for sentence in (_plain(made),) if sentence]
    samples = [sample for _, images in found.synthetic for sample in _firsts(images)]
    solvers = {(s.solver or "").partition(":")[0] for s in samples}
    cites = ["rombach2022latent", *sorted(SOLVERS[name] for name in solvers if name in SOLVERS)]
    cites += ["ho2022guidance"] if any(s.guidance and s.guidance > 1 for s in samples) else []
    cites += ["kynkaanniemi2024interval"] if any(s.guidance_interval for s in samples) else []
    return [Sentence(made.text.rstrip(".")), Sentence(drawn.text.rstrip("."), tuple(dict.fromkeys(cites)))]


def _firsts(images: ImageSet) -> list[Sample]:
    positions = images.rows["strategy"].fillna("").drop_duplicates().index
    return [images.at(int(position), verify=False)[0] for position in positions]


def _training(found: Artefacts, trial: Trial) -> list[Sentence]:
    recipe = trial.study.design.recipe
    goal = facts_training.goal(found)
    cites = [*(["wightman2019timm"] if not recipe.on_given_features else [])]
    cites += ["loshchilov2019adamw"] if recipe.optimizer == "adamw" else []
    augmented = recipe.augment == "randaugment" and recipe.tuning != "features"
    design = trial.study.design
    controlled = design.controls and trial.run is None and "randaugment" in design.control_kinds
    cites += ["cubuk2020randaugment"] if augmented or controlled else []
    return [
        Sentence((goal.text if goal else "").rstrip("."), ("sagers2023augmenting",)),
        Sentence(facts_training.trained(trial).rstrip("."), tuple(cites)),
    ]


def _trial_statistics(trial: Trial) -> list[Sentence]:
    """How the arms were compared: a paired score interval of one model each, a paired bootstrap over several seeds."""
    if trial.run is not None and trial.study.design.seeds == 1:
        return [
            Sentence(
                "The arms were compared image by image: the difference of accuracy has Tango's score interval of "
                "paired shares",
                ("tango1998",),
            ),
            Sentence("P values of groups were corrected by Holm's method", ("holm1979",)),
        ]
    return [
        Sentence(
            "The arms were compared over the same resamples of test images and seeds (bootstrap, stratified by group "
            "and class)",
            ("rao1988",),
        ),
        Sentence(
            "Differences have Student's intervals on Fisher's z scale with degrees of freedom after Satterthwaite, "
            "scores Wilson's",
            ("edwardes1995", "satterthwaite1946", "wilson1927"),
        ),
        Sentence(
            "Verdicts at the dose that was named in advance were corrected by Holm's method over groups and numbers of "
            "real images",
            ("holm1979",),
        ),
    ]


def _card_statistics(card: CardRecord) -> list[Sentence]:
    """The kinds of intervals that the card has, and how groups were compared."""
    made = {m.method or "wilson" for row in card.rows for m in row.metrics.values() if m.enough}
    used = [INTERVALS[name] for name in INTERVALS if name in made]
    level = f"{100 * card.settings.confidence:g} %"
    said = [Sentence(f"In the fairness card (level {level}) {listed([w for w, _ in used])}", tuple(k for _, k in used))]
    if card.gaps:
        said.append(
            Sentence(
                f"Groups by {listed([column_word(c) for c in card.columns])} were compared by their "
                "largest difference, whose interval follows from those of the groups (MOVER) and holds for all pairs "
                "together",
                ("newcombe1998", "zou2008mover"),
            )
        )
    return said if used else []


def _tone(found: Artefacts) -> Sentence | None:
    if facts_checks.tone(found) is None:
        return None
    return Sentence("Skin tone was measured as the individual typology angle", ("chardon1991",))


def _software(found: Artefacts) -> Sentence | None:
    if found.trial is None or not found.trial.study.design.created_by:
        return None
    return Sentence(
        f"Arms were trained with {found.trial.study.design.created_by} on PyTorch", ("dermforge", "paszke2019pytorch")
    )
