"""The certificate of use on a page: a table of rows for each kind of measure, confusion, copies, methods."""

from __future__ import annotations

from collections.abc import Sequence

from dermforge.common.use_certificate import Row, UseCertificate, Verdict
from evalsuite.page.blocks import Answer, Block, Cell, Plot, Report, Section, Table, Thumbnails
from evalsuite.page.image_check import Axis, ImageCheck, Status, frame_table
from evalsuite.stats.estimate import NOT_ENOUGH
from evalsuite.use.measure_use import UseReport

STATUS: dict[Verdict, Status] = {"pass": "good", "fail": "bad", "cannot be determined": "unknown"}
#: Measures in the page's order: what they are called.
WORDS = {
    "recognised": "share recognised as its class",
    "recognised_class": "share recognised as its class",
    "confusion": "share taken for another class",
    "recall": "recall: share of real images among the synthetic ones",
    "recall_class": "recall: share of real images among the synthetic ones",
    "coverage": "coverage: share of real images with a synthetic one nearby",
    "coverage_class": "coverage: share of real images with a synthetic one nearby",
    "vendi": "Vendi score: distinct images",
    "vendi_class": "Vendi score: distinct images",
    "tone_measured": "share with a measured tone",
    "tone_order": "order of requested and measured tone (Spearman)",
    "tone_degrees": "typology angle, degrees",
    "tone_range": "range of the angle (5 to 95 %), degrees",
    "tone_spread": "spread of the angle (standard deviation), degrees",
    "copies": "share of copies of training images",
    "gain": "gain in accuracy over real images alone",
    "gain_group": "gain in accuracy over real images alone",
}
#: Sections of the page: the measures in each, and the axis on which `evalsuite report` shows them.
SECTIONS: dict[str, tuple[tuple[str, ...], Axis]] = {
    "Recognised class": (("recognised", "recognised_class", "confusion"), "fidelity"),
    "Diversity": (("recall", "recall_class", "coverage", "coverage_class", "vendi", "vendi_class"), "diversity"),
    "Skin tone": (("tone_order", "tone_measured", "tone_degrees", "tone_range", "tone_spread"), "fairness"),
    "Copies of training images": (("copies",), "privacy"),
    "Classifier's gain": (("gain", "gain_group"), "utility"),
}


def report(found: UseReport) -> Report:
    """All sections of a certificate."""
    certificate = found.certificate
    sections = [Section(title, _blocks(found, title)) for title in SECTIONS]
    sections += [Section("What was compared", _compared(certificate)), Section("Methods", _methods(certificate))]
    return Report(
        "Do the student's images serve as the teacher's do?",
        _answer(certificate),
        sections,
        certificate.leakage,
        certificate.notes,
        certificate.classifier,
    )


def use_section(found: UseReport) -> ImageCheck:
    """The part of `evalsuite report`."""
    certificate = found.certificate
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {}
    for title, (_, axis) in SECTIONS.items():
        shown[axis] = [block for block in _blocks(found, title) if isinstance(block, Table)]
    return ImageCheck("Certificate of use", f"{certificate.sentence()}.", STATUS[certificate.verdict], shown)


def _answer(certificate: UseCertificate) -> Answer:
    said = {
        "pass": "Yes: every row is within its margin",
        "fail": "No: some rows are outside of their margins",
        "cannot be determined": "This cannot be determined: some rows are neither within nor outside of their margins",
    }
    numbers = []
    for title, (measures, _) in SECTIONS.items():
        rows = [row for row in certificate.rows if row.measure in measures]
        passed = sum(row.verdict == "pass" for row in rows)
        numbers.append((title, _worst(rows), f"{passed} of {len(rows)} rows pass"))
    failed = [row for row in certificate.rows if row.verdict == "fail"]
    details = [
        f"Fails: {WORDS[row.measure]}, {row.cell}: {_change(row)} (margin {_margin(row)})." for row in failed[:12]
    ]
    details += [f"... and {len(failed) - 12} rows more that fail."] if len(failed) > 12 else []
    return Answer(f"{said[certificate.verdict]}.", numbers, details)


def _worst(rows: Sequence[Row]) -> Verdict:
    verdicts = {row.verdict for row in rows}
    order: tuple[Verdict, ...] = ("fail", "cannot be determined", "pass")
    return next((one for one in order if one in verdicts), "cannot be determined")


def _blocks(found: UseReport, title: str) -> list[Block]:
    measures, _ = SECTIONS[title]
    rows = [row for name in measures for row in found.certificate.rows if row.measure == name]
    blocks: list[Block] = []
    if title == "Recognised class":
        quiet = [row for row in rows if row.measure == "confusion" and row.verdict == "pass"]
        rows = [row for row in rows if row not in quiet]
        blocks.append(row_table(rows, _caption(found.certificate)))
        if quiet:
            blocks.append(f"{len(quiet)} shares taken for another class lie within their margin and are not listed.")
        for name, side in (("teacher", found.recognition.teacher), ("student", found.recognition.student)):
            shown = found.recognition.confusion(side).reset_index()
            blocks.append(frame_table(shown, f"What images of each class are taken for, {name} (shares of a row)"))
        return blocks
    blocks.append(row_table(rows, _caption(found.certificate)))
    if title == "Copies of training images" and found.copies:
        blocks.append(f"The audit of both sides: {found.copies}")
    return blocks


def _caption(certificate: UseCertificate) -> str:
    level = f"{100 * certificate.confidence:.0f} %"
    return f"Student against teacher; intervals are of {level}, which must lie within the margin"


def row_table(rows: Sequence[Row], caption: str) -> Table:
    """Rows as they are read: both values, the change with its interval, the margin, the verdict and why."""
    head = ["measure", "images", "n", "teacher", "student", "change", "margin", "verdict", "remark"]
    lines: list[list[str | Cell]] = [
        [
            WORDS[row.measure],
            row.cell,
            str(row.n),
            _number(row.teacher),
            _number(row.student),
            _change(row),
            _margin(row),
            Cell(row.verdict, bold=row.verdict != "pass"),
            row.note,
        ]
        for row in rows
    ]
    return Table(head, lines, caption)


def _number(value: float | None) -> str:
    return NOT_ENOUGH if value is None else f"{value:.3g}"


def _change(row: Row) -> str:
    """`x 0.97 (0.93 to 1.01)` of a ratio, `-0.010 (-0.030 to +0.010)` of a difference."""
    if row.value is None:
        return NOT_ENOUGH
    style = "{:.3g}" if row.scale == "ratio" else "{:+.3g}"
    value = f"{'x ' if row.scale == 'ratio' else ''}{style.format(row.value)}"
    if row.low is None or row.high is None:
        return f"{value} (no interval)"
    return f"{value} ({style.format(row.low)} to {style.format(row.high)})"


def _margin(row: Row) -> str:
    if row.least is None:
        return f"at most {row.most:g}"
    return f"at least {row.least:g}" if row.most is None else f"{row.least:g} to {row.most:g}"


def _compared(certificate: UseCertificate) -> list[Block]:
    lines = []
    sides = {"teacher": certificate.teacher, "student": certificate.student}
    for name, part in {**sides, **{f"real, {key}": value for key, value in certificate.real.items()}}.items():
        drawn = "; ".join(", ".join(f"{k} {v}" for k, v in sorted(one.items())) for one in part.settings)
        lines.append([name, str(part.images), part.digest[:12], ", ".join(b[:12] for b in part.bundles), drawn])
    cells = f"{len(certificate.cells)} cells of class, skin type and strategy, equally many images of both in each."
    return [Table(["images", "n", "digest", "bundle", "drawn with"], lines), cells]


def _methods(certificate: UseCertificate) -> list[Block]:
    beyond = f"{100 * certificate.fail_confidence:.2f} %"
    own = (
        f"file with the sha256 {certificate.margins_sha256}"
        if certificate.margins_sha256
        else "defaults of this version"
    )
    trained = (
        f"The classifier ({certificate.classifier}) was trained {certificate.seeds} times each on real images alone, "
        f"with {certificate.ratio:g} of the teacher's and with as many of the student's images for each real one, and "
        "tested on the same real images: changes are paired by test image and seed, and both are resampled (test "
        "images by patient)."
    )
    return [
        f"A row passes where its {100 * certificate.confidence:.0f} % interval lies within its margin: two one-sided "
        "tests at 5 % (Schuirmann 1987). The whole passes where every row does. This is an intersection-union test, "
        "which needs no correction for the number of rows (Berger 1982; Berger & Hsu 1996).",
        f"A row fails where its {beyond} interval lies outside of the margin: that some row is outside is a union of "
        f"claims, so that the level of 5 % is shared by all {len(certificate.rows)} rows (Bonferroni). Any other row "
        "cannot be determined.",
        f"The margins are the {own}.",
        "Images of one source (a patient, a cluster of duplicates, the photograph that an image was made from, the "
        "plan row that both sides share) count as one. Shares are compared by Tango's score interval where images are "
        "paired, else by MOVER of Wilson's. Recall, coverage, Vendi score and tone have standard errors of half "
        "samples of these sources, drawn together from all sets, as a bootstrap would make images their own "
        "neighbours; ratios have Fieller's interval.",
        trained if certificate.seeds else "No classifier was trained, so that the gain was not measured.",
        f"Features: {', '.join(certificate.extractors)}. A linear classifier on those of the real training images "
        "says what each image is taken for. On features standardised by the real images, recall is Kynkäänniemi's "
        "(2019), coverage Naeem's (2020) with 5 neighbours, and the Vendi score that of Friedman & Dieng (2023).",
    ]
