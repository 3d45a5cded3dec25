"""What a checklist takes for a study's own: folders by kind, the bundle that drew the images, checks with an answer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from use_helpers import certificate

from dermforge.common.errors import UserError
from dermforge.common.sealed_file import sealed_json
from evalsuite.page.image_check import ImageCheck
from evalsuite.report.guidelines.artefacts import UNPROVEN, gather, kind_of
from evalsuite.report.guidelines.facts import FACTS
from shards import Provenance, Sample, ShardSetWriter, encode_image

DIGEST = "b" * 64
CELLS = [
    {"family": "overall", "cell": "all", "metric": "recall[x]", "value": 0.44, "low": 0.4, "high": 0.48, "n": 40},
    {"family": "overall", "cell": "all", "metric": "KD[x]", "value": 0.1, "low": 0.0, "high": 0.2, "n": 40},
    {"family": "group", "cell": "dark", "metric": "recall[x]", "value": None, "low": None, "high": None, "n": 3},
]


def shards(folder: Path, bundle: str | None = DIGEST, origin: str = "synthetic", label: str = "<b>|</b>") -> Path:
    """A set of one image, as a bundle would have drawn it."""
    made = Provenance("a" * 64, bundle, "c" * 64, ("real-1",))
    with ShardSetWriter(folder, "made", classes=[label], provenance=made) as writer:
        image = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
        sample = {"id": "one", "origin": origin, "label": label, "group": "dark", "strategy": "text-to-image"}
        writer.add(
            Sample.model_validate({**sample, "solver": "dpmsolver++", "steps": 20, "prompt": "a | b"}), image, "png"
        )
    return folder


def bundle(folder: Path, passed: bool = True) -> str:
    """The records of a bundle; its digest."""
    folder.mkdir()
    facts = {"family": "sd", "size": 64, "prediction_type": "v_prediction"}
    content = sealed_json(json.dumps({"backend": "torch", "precision": "fp32", "model_digest": "m", "facts": facts}))
    (folder / "bundle.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    images = {"n": 36, "psnr_worst": 86.0, "largest_difference": 1}
    parity = {"bundle": digest, "passed": passed, "smallest_psnr_allowed": 50.0, "images": images}
    (folder / "parity.json").write_bytes(sealed_json(json.dumps(parity)))
    return digest


def section(folder: Path, record: str, status: str = "good") -> Path:
    """What a command that measures images leaves behind."""
    folder.mkdir()
    (folder / record).write_text(json.dumps({"cells": CELLS}))
    part = ImageCheck("Images", "KD is 0.1 (0.0 to 0.2), n = 40.", "good", {})
    document = json.dumps({"title": part.title, "verdict": part.verdict, "status": status, "shown": {}})
    (folder / "section.json").write_bytes(sealed_json(document))
    return folder


def test_folders_are_told_by_what_they_hold(tmp_path: Path) -> None:
    bundle(tmp_path / "bundle")
    assert kind_of(tmp_path / "bundle") == "bundle"
    assert kind_of(shards(tmp_path / "made")) == "synthetic images"
    assert kind_of(section(tmp_path / "q", "quality.json")) == "quality"
    with pytest.raises(UserError, match="nothing that a checklist can use"):
        kind_of(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        kind_of(tmp_path / "missing")
    with pytest.raises(UserError, match="nothing that a checklist can use"):
        kind_of(shards(tmp_path / "photos", origin="real"))


def test_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    both = [section(tmp_path / name, "tone.json") for name in ("a", "b")]
    with pytest.raises(UserError, match="both of one kind"):
        gather(None, both)


def test_a_bundle_counts_where_it_drew_the_images(tmp_path: Path) -> None:
    digest = bundle(tmp_path / "bundle")
    own = gather(None, [tmp_path / "bundle", shards(tmp_path / "own", digest)])
    fact = FACTS["parity"](own)
    assert fact is not None
    assert fact.source == "bundle/parity.json"
    assert "86.0 dB" in fact.text
    other = gather(None, [tmp_path / "bundle", shards(tmp_path / "other")])
    assert other.bundle is None
    assert "drew none of the images" in other.notes[0]


def test_an_altered_bundle_is_refused(tmp_path: Path) -> None:
    bundle(tmp_path / "bundle")
    path = tmp_path / "bundle" / "parity.json"
    path.write_bytes(path.read_bytes().replace(b"true", b"fals"))
    with pytest.raises(UserError, match="damaged"):
        gather(None, [tmp_path / "bundle"])


def test_a_check_without_an_answer_is_no_fact(tmp_path: Path) -> None:
    """And that nobody proved whose images it judged is said."""
    found = gather(None, [section(tmp_path / "a", "quality.json"), section(tmp_path / "b", "tone.json", "unknown")])
    quality = FACTS["quality"](found)
    assert quality is not None
    assert quality.source == "a/section.json"
    assert FACTS["tone"](found) is None
    assert found.notes == (UNPROVEN,)


def test_variety_is_read_from_the_cells_that_have_enough(tmp_path: Path) -> None:
    found = gather(None, [section(tmp_path / "q", "quality.json")])
    fact = FACTS["diversity"](found)
    assert fact is not None
    assert fact.text == "Variety of all images: recall[x] 0.44 (0.4 to 0.48)."
    assert fact.source == "q/quality.json"
    assert FACTS["quality_by_group"](found) is None
    (tmp_path / "q" / "quality.json").write_text('{"cells": [1]}')
    with pytest.raises(UserError, match="no measurement of quality"):
        gather(None, [tmp_path / "q"])


def test_a_certificate_of_use_counts_where_its_bundle_drew_the_images(tmp_path: Path) -> None:
    folder = section(tmp_path / "use", "use.json")
    made = certificate(bundle=DIGEST)
    (folder / "use.json").write_bytes(made.content())
    own = gather(None, [folder, shards(tmp_path / "own")])
    fact = FACTS["use"](own)
    assert fact is not None
    assert made.sentence() in fact.text
    other = gather(None, [folder, shards(tmp_path / "other", "d" * 64)])
    assert FACTS["use"](other) is None
    assert "names no bundle that drew the images" in other.notes[0]


def test_a_damaged_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text('{"source": "x"}')
    with pytest.raises(UserError, match="not a fairness card"):
        gather(None, [tmp_path])
