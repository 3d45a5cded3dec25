"""Which certificates the images of a run have, as their sidecars name them: of parity, and of use."""

from __future__ import annotations

from engines.engine import Engine
from engines.use import read_use
from gen.plan.plan import COLUMNS, Plan
from shards.format.provenance import Certificates, Parity, Use


def certificates_of(engine: Engine, plan: Plan) -> Certificates:
    """What vouches for the images that an engine draws of a plan.

    Parity is of the bundle's own pipeline: a distilled one is compared with its own weights, not with its teacher. The
    certificate of use counts where its settings, classes and skin types are those of the plan.

    Raises
    ------
    EngineError
        The certificate of use is of another bundle.
    """
    scheduler = engine.spec.scheduler.get("_class_name") or "its scheduler"
    reference = f"diffusers' pipeline of the model {engine.model_digest[:12]} in float32, by {scheduler}"
    parity = Parity(passed=engine.certified, reference=reference)
    found = read_use(engine.bundle)
    if found is None:
        return Certificates(parity=parity)
    certificate, digest = found
    apart = [name for name in COLUMNS if name not in ("id", "seed", "parent", "prompt", "negative_prompt")]
    if missing := certificate.uncovered(row.model_dump(by_alias=True) for row in plan.apart(*apart)):
        return Certificates(parity=parity, use_missing=missing)
    teacher = certificate.teacher.bundles
    return Certificates(parity=parity, use=Use(digest=digest, verdict=certificate.verdict, teacher=teacher))
