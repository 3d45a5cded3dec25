"""Facts of the synthetic images: how many, what drew them, from what it learnt, and what vouches for it."""

from __future__ import annotations

from collections import Counter

from dermforge.common import id_ranges as ranges
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fact import Fact, listed
from evalsuite.report.guidelines.facts_images import content_of, first_of, leaked, parts_of
from shards import Sample


def synthetic_images(found: Artefacts) -> Fact | None:
    """How many synthetic images there are, by strategy."""
    if not found.synthetic:
        return None
    said = []
    for name, images in found.synthetic:
        strategies = Counter(images.rows["strategy"].fillna("strategy not recorded"))
        by = ", ".join(f"{strategy} {strategies[strategy]}" for strategy in sorted(strategies))
        said.append(f"{_named(found, name)}{images.n} synthetic images ({by}); {content_of(images)}.")
    return Fact(" ".join(said), _made_by(found))


def every_cell(found: Artefacts) -> Fact | None:
    """That no class and no skin type of the real images lacks synthetic ones; None where one does."""
    parts = parts_of(found)
    if not parts or not found.synthetic:
        return None
    fewest = []
    for column, word in (("class", "class"), ("group", "skin type")):
        made = Counter(value for _, images in found.synthetic for value in images.rows[column])
        lacks = {value: made[value] for value in sorted(set(parts["train"].rows[column].dropna()))}
        if not lacks or not min(lacks.values()):
            return None
        fewest.append(f"{word} ({min(lacks.values())} images of {min(lacks, key=lambda v: lacks[v])})")
    return Fact(
        f"Every class and skin type of the real training images has synthetic images; fewest has, by {fewest[0]} and "
        f"by {fewest[1]}.",
        _made_by(found),
    )


def generator(found: Artefacts) -> Fact | None:
    """What drew the synthetic images, by digest, and with which settings; None where shards do not record it."""
    said = []
    for name, images in found.synthetic:
        sidecars = getattr(images, "sidecars", ())
        models = sorted({s.model_digest for s in sidecars if s.model_digest})
        if not models:
            return None
        firsts = images.rows["strategy"].fillna("").drop_duplicates()
        drawn = [f"{images.rows['strategy'][i] or 'all'}: {_settings(first_of(images, int(i)))}" for i in firsts.index]
        said.append(f"{_named(found, name)}{_digests(models)}; first image of {'; of '.join(drawn)}.")
    return Fact(f"Drawn by a latent diffusion model: {' '.join(said)}", _made_by(found)) if said else None


def bundle(found: Artefacts) -> Fact | None:
    """The compiled pipeline: its family, backend and precision."""
    if found.bundle is None:
        return None
    m = found.bundle.manifest
    return Fact(
        f"The engine bundle {found.bundle.digest[:12]} holds a latent diffusion pipeline (family {m.pipeline.family}, "
        f"{m.pipeline.prediction_type.replace('_', ' ')}, {m.pipeline.size} px) for {m.backend} in {m.precision}.",
        f"{found.bundle.name}/bundle.json",
    )


def parity(found: Artefacts) -> Fact | None:
    """How near the engine's images are to diffusers' in float32."""
    if found.bundle is not None and (made := found.bundle.parity) is not None:
        return Fact(
            f"The engine {'passed' if made.passed else 'FAILED'} its parity certificate: over {made.images.n} images "
            f"the worst PSNR against diffusers in float32 is {made.images.psnr_worst:.1f} dB (at least "
            f"{made.smallest_psnr_allowed:g} needed), the largest pixel difference "
            f"{made.images.largest_difference} of 255.",
            f"{found.bundle.name}/parity.json",
        )
    sidecars = [s for _, images in found.synthetic for s in getattr(images, "sidecars", ())]
    certificates = {s.certificates.parity.passed for s in sidecars if s.certificates and s.certificates.parity}
    if not certificates or any(s.certificates is None or s.certificates.parity is None for s in sidecars):
        return None
    word = "passed" if certificates == {True} else "did NOT pass everywhere"
    return Fact(f"The engine that drew the images {word} its parity certificate against float32.", _made_by(found))


def lineage(found: Artefacts) -> Fact | None:
    """That the generator saw no held-out image; None where that was not checked, or a leak was allowed."""
    if found.trial is None or not found.synthetic or not parts_of(found) or leaked(found):
        return None
    sidecars = [s for _, images in found.synthetic for s in getattr(images, "sidecars", ())]
    if not sidecars or not all(s.lineage for s in sidecars):
        return None
    seen = sorted({entry for s in sidecars for entry in s.lineage})
    near = "" if found.trial.study.design.places.features else ", nor a near-duplicate of a training image that is"
    return Fact(
        f"The shards name what their generator was trained on ({ranges.in_words(seen)}). No validation or test image "
        f"is among it{near}: the study refuses to start otherwise.",
        _made_by(found),
    )


def prompts(found: Artefacts) -> Fact | None:
    """The first prompt of each set and strategy; None where none is recorded."""
    said = []
    for _, images in found.synthetic:
        for position in images.rows["strategy"].fillna("").drop_duplicates().index:
            sample = first_of(images, int(position))
            if sample is None or not sample.prompt:
                return None
            said.append(f'"{sample.prompt}"')
    if not said:
        return None
    return Fact(f"Prompts are stored with every image. The first of each strategy: {listed(said)}.", _made_by(found))


def digests(found: Artefacts) -> Fact | None:
    """The digests by which synthetic images can be drawn again."""
    sidecars = [s for _, images in found.synthetic for s in getattr(images, "sidecars", ())]
    plans, bundles = ({v for s in sidecars if (v := getattr(s, f"{k}_digest"))} for k in ("plan", "bundle"))
    if not plans or not bundles:
        return None
    return Fact(
        f"Every synthetic image can be drawn again from its plan ({_digests(sorted(plans))}) and bundle "
        f"({_digests(sorted(bundles))}): `gen regenerate`.",
        _made_by(found),
    )


def _made_by(found: Artefacts) -> str:
    return "sidecars of " + ", ".join(name for name, _ in found.synthetic)


def _named(found: Artefacts, name: str) -> str:
    """Which of several sets is meant."""
    return "" if len(found.synthetic) == 1 else f"{name}: "


def _settings(sample: Sample | None) -> str:
    if sample is None:
        return "settings not recorded"
    said = {
        "solver": sample.solver,
        "steps": sample.steps,
        "guidance": sample.guidance,
        "guidance interval": sample.guidance_interval,
        "strength": sample.strength,
        "size": sample.size,
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None) or "settings not recorded"


def _digests(values: list[str]) -> str:
    return listed([f"sha256 {value[:12]}" for value in values])
