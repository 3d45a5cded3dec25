"""What a plan will cost: batch rows of the UNet, and seconds."""

from __future__ import annotations

from engines.bundle import Bundle, find_record
from engines.compile.batch_tuning import Timings
from engines.manifest import TIMINGS
from engines.pipeline_spec import PipelineSpec
from gen.diffusion import solvers
from gen.diffusion.base_first import check_base_steps, guided_steps, with_base
from gen.plan.plan import STRENGTHS, Plan, parse_interval


def forwards(plan: Plan, spec: PipelineSpec | None, base: PipelineSpec | None = None) -> int:
    """Batch rows that the denoiser has to run for a plan: one for each step, and one more where it is guided.

    Without a pipeline, of Stable Diffusion.

    Raises
    ------
    UserError
        An unknown solver, an impossible number of steps, or steps of a base that the pipeline does not have.
    """
    schedule = solvers.schedule_of(spec) if spec else solvers.read_schedule({})
    guided_as = spec.guidance if spec else "classifier-free"
    base_guided_as = None if base is None else base.guidance
    columns = ["solver", "steps", "strength", "strategy", "guidance", "guidance_interval", "base_steps"]
    total = 0
    counts = plan.frame.groupby(columns, sort=False).size().reset_index(name="n")
    for solver, steps, strength, strategy, guidance, interval, by_base, n in counts.itertuples(index=False, name=None):
        strengths = [1.0] if strategy == "text-to-image" else [float(strength)]
        if strategy == "inpaint-outpaint":
            strengths.insert(0, STRENGTHS["inpaint"])
        bounds = parse_interval(interval) if interval else None
        for part in strengths:
            table = solvers.table(solver, schedule, int(steps), part)
            if spec:
                table = with_base(table, solver, int(by_base), base)
            else:
                check_base_steps(solver, len(table), int(by_base))
            guided = guided_steps(table, bounds, float(guidance), int(by_base), guided_as, base_guided_as)
            total += int(n) * (len(table) + int(guided.sum()))
    return total


def seconds(bundle: Bundle, forwards_per_image: float, images: int) -> float:
    """Expected time from a bundle's `timings.json`; NaN where there is none."""
    measured = find_record(bundle, TIMINGS, Timings)
    if measured is None:
        return float("nan")
    row, image = measured.unet_seconds_per_row[measured.rows], measured.decode_seconds_per_image[measured.vae_batch]
    return images * (forwards_per_image * row + image)
