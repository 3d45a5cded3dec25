"""The least numbers of images from which a command answers: evalsuite enforces them, `shards make` foretells them."""

from __future__ import annotations

#: Real validation images that set the thresholds of `evalsuite filter`.
FILTER_VALIDATION = 20
#: Real training images of a class from which the filter knows what is typical of it.
FILTER_CLASS = 10
#: Patients (or images without one) that the generator has not seen and that calibrate `evalsuite privacy`.
AUDIT_PATIENTS = 20
#: Planted copies of each kind from which the audit may say that there are no copies.
PLANTED_COPIES = 10
#: Real and synthetic images from which `evalsuite quality` measures a cell.
QUALITY_IMAGES = 20
#: Test images of a group (a study: patients, where they are known) from which a card or a study gives a number and a
#: verdict.
GROUP_IMAGES = 10
#: Test images of each class from which a study gives a verdict on a mean over classes.
CLASS_IMAGES = 5
#: Training runs of each arm from which a study gives a verdict: fewer do not show how much is luck.
ARM_SEEDS = 3
