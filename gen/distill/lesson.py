"""Distillation as a lesson that the trainer of `gen finetune` teaches."""

from __future__ import annotations

from gen.distill.consistency import ConsistencyObjective
from gen.distill.output import DistilledPipeline
from gen.distill.settings import Distillation
from gen.distill.student import new_student
from gen.finetune.lesson import Lesson

DISTILLATION = Lesson(
    "distil",
    new_student,
    lambda spec, settings: ConsistencyObjective(spec.scheduler, settings.teacher_steps, settings.weighting),
    DistilledPipeline,
    lambda student, batches: student.loss,
    Distillation.few,
)
