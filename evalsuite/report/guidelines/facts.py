"""All facts by the names that topics use."""

from __future__ import annotations

from collections.abc import Callable

from evalsuite.report.guidelines import facts_checks as checks
from evalsuite.report.guidelines import facts_generator as generator
from evalsuite.report.guidelines import facts_images as images
from evalsuite.report.guidelines import facts_results as results
from evalsuite.report.guidelines import facts_training as training
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fact import Fact

FACTS: dict[str, Callable[[Artefacts], Fact | None]] = {
    made.__name__: made
    for made in (
        *(images.real_images, images.phantom_source, images.phantom_truth, images.phantom_parts, images.parts_table),
        *(images.phantom_table, images.attributes, images.skin_types, images.missing_values, images.image_side),
        *(images.disjoint, images.disjoint_by_image, generator.synthetic_images, generator.generator),
        *(
            generator.bundle,
            generator.parity,
            generator.lineage,
            generator.prompts,
            generator.digests,
            images.external_images,
        ),
        images.external_differences,
        *(training.goal, training.subsets, training.preprocessing, training.classifier, training.output),
        *(training.initialisation, training.training, training.selection, training.arms_compared, training.balance),
        *(training.sensitivity_analyses, training.record, training.software, training.compute, training.stored),
        training.pixels_alone,
        *(results.headline, results.performance, results.groups, results.class_results, results.calibration),
        *(results.confusion, results.detectable, results.metrics, results.statistics, results.fairness_methods),
        *(results.external_results, results.notes, results.phantom_limits, results.prevalence, checks.quality),
        *(checks.tone, checks.privacy, checks.image_filter, checks.readers, checks.use),
        *(checks.diversity, checks.quality_by_group, generator.every_cell),
    )
}
