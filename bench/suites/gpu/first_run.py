"""The steps of a first run on a GPU, in their order, with their time limits: at most nine minutes on an H200."""

from __future__ import annotations

from collections.abc import Sequence

from bench.suites.gpu.schedule import Schedule, Step, Worker

HERE = "bench.suites.gpu"
#: Larger families whose denoisers can be measured too.
FAMILIES = ("sdxl", "sd35-medium")
#: The run ends by itself before it.
FOREVER = 3600.0


def first_run(families: Sequence[str] = ()) -> Schedule:
    """What needs the CPUs side by side, then the GPU to one process at a time, at last what may never end.

    Parameters
    ----------
    families
        Larger denoisers to measure too, of `FAMILIES`; each takes up to two minutes.
    """
    engine, peer = f"{HERE}.our_engine", f"{HERE}.theirs"
    return Schedule(
        first=(
            Worker(
                "machine",
                (Step("machine", f"{HERE}.machine:machine", 40), Step("gen doctor", f"{HERE}.machine:doctor", 40)),
            ),
        ),
        beside=(
            Worker("tests", (Step("CUDA tests", f"{HERE}.cuda_tests:cuda_tests", 180, once=True),)),
            Worker("training", (Step("training with a resume", f"{HERE}.training:train", 160),)),
        ),
        alone=(
            Worker("ceilings", _ceilings()),
            Worker(
                "ours",
                (
                    Step("our step", f"{engine}:one_step", 30),
                    Step("same images twice", f"{engine}:same_twice", 30),
                    Step("our images at 50 steps", f"{engine}:images", 75),
                    Step("our images at 20 steps", f"{engine}:images_in_fewer_steps", 45),
                    Step("kernels of our step", f"{HERE}.kernels:kernels", 30),
                    Step("our sampler with files", f"{engine}:sampler", 60),
                    Step("our memory", f"{engine}:memory", 10),
                ),
                prepare=Step("compile our engine", f"{engine}:compiled", 180),
            ),
            _peer("diffusers", Step("load diffusers", f"{peer}:as_it_is", 120)),
            _peer("diffusers compiled, batch 16", Step("compile diffusers for 16", f"{peer}:compiled_16", 180)),
            _peer("diffusers compiled, batch 32", Step("compile diffusers for 32", f"{peer}:compiled_32", 180)),
            Worker(
                "eager",
                (
                    Step("UNet operation by operation", f"{HERE}.eager:unet_calls", 40),
                    Step("errors of TF32 and of our precision", f"{HERE}.eager:errors", 30),
                ),
                prepare=Step("load the networks", f"{HERE}.eager:prepare", 90),
            ),
        ),
        last=(
            Worker(
                "ours-again",
                (Step("same images in another process", f"{engine}:same_as_before", 30),),
                prepare=Step("start our engine from the cache", f"{engine}:from_cache", 90),
            ),
            *map(_larger, families),
            _autotuned("our engine autotuned in part", "autotune in part", f"{engine}:autotuned_in_part"),
            _autotuned("our engine autotuned", "autotune", f"{engine}:autotuned"),
        ),
    )


def _ceilings() -> tuple[Step, ...]:
    products = [
        Step(f"matrix products in {p}", f"{HERE}.ceilings:{p}", 25) for p in ("fp16", "bf16", "fp32", "tf32", "fp8")
    ]
    return (*products, Step("copies", f"{HERE}.ceilings:copies", 20))


def _larger(family: str) -> Worker:
    """The denoiser of a larger family."""
    call = f"{HERE}.larger_denoisers"
    prepare = Step(f"compile the denoiser of {family}", f"{call}:{family.replace('-', '_')}", 120)
    return Worker(family, (Step(f"step of {family}", f"{call}:rows_a_second", 30),), prepare)


def _autotuned(name: str, prepare: str, call: str) -> Worker:
    """Autotuning may never end; what it leaves of the time is for the steps."""
    step = Step(f"step of {name}", f"{HERE}.our_engine:one_step", 30, extra=True)
    images = Step(f"images of {name}", f"{HERE}.our_engine:images", 75, extra=True)
    return Worker(name, (step, images), Step(prepare, call, FOREVER, extra=True))


def _peer(name: str, prepare: Step) -> Worker:
    return Worker(name, (Step(f"images of {name}", f"{HERE}.theirs:images", 60),), prepare)
