"""Published throughputs, and what prevents a comparison with ours."""

from __future__ import annotations

from dataclasses import dataclass

from bench.measure.record import BenchmarkRecord

#: Synthetic images of Sagers et al. 2023 (arXiv 2308.12453). The paper does not say how many each of its three
#: strategies made; its preset makes equally many.
PAPER_IMAGES = 458_920


@dataclass(frozen=True)
class Anchor:
    """One published throughput.

    Attributes
    ----------
    model
        Network and image side: "SD 1.5 512".
    tflops
        Images per second times the arithmetic of an image at those steps, attention included: the one number that
        compares different settings.
    caveat
        What the number leaves out.
    """

    who: str
    device: str
    model: str
    steps: int
    batch: int | None
    images_per_second: float
    tflops: float
    caveat: str = ""


#: Images of Stable Diffusion 1.5 (512 px, 25 Euler steps, guidance 8) for one US dollar, on the consumer GPUs of
#: volunteers at the lowest priority: https://blog.salad.com/stable-diffusion-1-5
PER_DOLLAR = 14_000
#: Guidance at every step unless the caveat says otherwise.
ANCHORS = (
    Anchor("ONNX Runtime, IO binding (PR 22834)", "H100", "SD 1.5 512", 50, 1, 1.75, 145),
    Anchor("stable-fast", "H100", "SD 1.5 512", 50, 1, 2.09, 168, "UNet only"),
    Anchor("TensorRT 8.6 (alexeigor)", "H100 PCIe", "SD 1.5 512", 50, 1, 1.33, 110),
    Anchor("diffusers, torch.compile (its docs)", "A100", "SD 1.5 512", 50, 16, 1.50, 120, "UNet only"),
    Anchor("diffusers, torch.compile (ONNX Runtime's README)", "A100", "SD 1.5 512", 50, 16, 1.27, 105),
    Anchor("TensorRT (ONNX Runtime's README)", "A100", "SD 1.5 512", 50, 4, 1.18, 98),
    Anchor("AITemplate", "A100", "SD 1.5 512", 25, 16, 2.02, 86),
    Anchor("OneDiff", "A800", "SD 1.5 512", 20, 1, 3.33, 115),
    Anchor("OneDiff", "RTX 4090", "SD 1.5 512", 20, 1, 4.00, 139),
    Anchor("OneDiff", "RTX 4090", "SD 2.1 768", 20, 1, 2.0, 183),
    Anchor("MLPerf v5.1, TensorRT FP8 (Quanta)", "H200", "SDXL 1024", 20, None, 2.40, 674, "FP8"),
    Anchor("MLPerf v5.1, TensorRT FP8 (The_Stage)", "H100", "SDXL 1024", 20, None, 2.26, 636, "FP8"),
    Anchor("MLPerf v5.1 (Lambda)", "B200", "SDXL 1024", 20, None, 4.07, 1144, "FP8"),
    Anchor("OpenVINO bf16, static (Hugging Face)", "64 vCPU Sapphire Rapids", "SD 1.x 512", 20, 1, 0.21, 7.4),
    Anchor(
        "StreamDiffusion, SD-Turbo",
        "RTX 4090",
        "SD-Turbo 512",
        1,
        1,
        106.0,
        float("nan"),
        "one step, no guidance, tiny decoder",
    ),
)
#: The anchors' names of our models.
SHAPES = {"sd15": "SD 1.5", "sd15-inpaint": "SD 1.5 inpainting", "sd21-base": "SD 2.1"}


def ours(engine: BenchmarkRecord) -> list[Anchor]:
    """The whole-image rates of a `bench engine` result in the anchors' form."""
    settings = engine.settings
    shape = SHAPES.get(str(settings["model"]), str(settings["model"]))
    return [
        Anchor(
            m.name.removeprefix("whole/"),
            engine.facts.device,
            f"{shape} {settings['size']}",
            int(settings["steps"]),
            int(m.details["batch"] or 0),
            m.median,
            float(m.details["TFLOP/s"] or 0),
            f"random weights, {m.details['precision']}" if shape in SHAPES.values() else str(m.details["precision"]),
        )
        for m in engine.starting("whole/")
    ]


def not_comparable(anchor: Anchor, mine: Anchor) -> list[str]:
    """What differs between a published number and one of ours; empty if they can be compared."""
    differs = []
    if anchor.device.lower() not in mine.device.lower():
        differs.append(f"on {anchor.device}")
    if anchor.model != mine.model:
        differs.append(f"{anchor.model}, not {mine.model}")
    if anchor.steps != mine.steps:
        differs.append(f"{anchor.steps} steps, not {mine.steps}")
    if anchor.batch != mine.batch:
        differs.append(f"batch {anchor.batch}" if anchor.batch else "batch not published")
    return [*differs, anchor.caveat] if anchor.caveat else differs
