"""`gen build-engine`: a pipeline folder in, a certified engine bundle out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dermforge.common import console
from dermforge.common.command_line import typed
from gen.commands.model_options import Model, PartsFrom, PredictionType, Variant


def build_engine(
    model: Model = None,
    out: Annotated[Path, typer.Option(help="The bundle's folder")] = Path("bundle"),
    lora: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="An adapter to fuse into the weights; repeatable")
    ] = None,
    few_steps: Annotated[
        str | None,
        typer.Option(
            metavar="STUDENT", help="A few-step folder or adapter FILE[:SCALE] of --model, which takes the first steps"
        ),
    ] = None,
    embedding: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A learnt word's file to add; repeatable")
    ] = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    decoder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A small decoder that decodes in the place of the VAE's own")
    ] = None,
    backend: Annotated[str, typer.Option(help="onnxruntime, tensorrt, tensorrt-rtx or torch")] = "onnxruntime",
    target: Annotated[
        str | None, typer.Option(help="What to compile engine files for: sm_89 ... (tensorrt-rtx) or cpu (torch)")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16, bf16 or fp8 (sm_89 and later)")] = "fp32",
    int8_t5: Annotated[
        bool, typer.Option("--int8-t5", help="Keep T5's weights in 8 bits, a quarter of fp32 (SD 3, FLUX, PixArt)")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(help="Batch rows of one denoiser call [default: the fastest here]")
    ] = None,
    compile_mode: Annotated[
        str | None, typer.Option("--compile", help="torch on CUDA: default (starts soonest) or autotune (fastest)")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Image side in pixels [default: the model's]")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt that the certificate draws; repeatable")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A classifier's folder: count the labels that change")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Engine files whose weights can be replaced; slower")] = False,
    refit_from: Annotated[Path | None, typer.Option(help="A --refit bundle whose weights are replaced")] = None,
    allow_parity_failure: Annotated[bool, typer.Option(help="Write a bundle that fails, marked as failed")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle of another model")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Export a pipeline, compile it and certify it against diffusers in float32.

    Example: gen build-engine --model ./my-sd15 --precision fp16 --backend tensorrt-rtx --target sm_89 --out engine

    A single file: gen build-engine --model v2-1_768-ema-pruned.safetensors --prediction-type v_prediction

    With an adapter: gen build-engine --model ./my-sd15 --lora derm.safetensors:0.8 --embedding nevus.safetensors

    With a student: gen build-engine --model ./my-sd15 --few-steps ./student
    """
    from contextlib import ExitStack

    import engines
    from dermforge.common.classifier import open_classifier
    from engines.adapters import parse_lora, with_adapters, with_decoder
    from engines.backends.compiled_call import parse_mode
    from engines.build_options import check_options
    from engines.certificate import read_certificate
    from engines.source import Source, open_model
    from gen import builtin
    from gen.commands.inspect_bundle import compared_with
    from gen.diffusion.solvers import check_few_steps
    from gen.sampling.own_steps import own_steps

    steps, mode = Steps(), parse_mode(compile_mode)
    check_options(backend, precision, target, rows, mode, refit or refit_from is not None, few_steps is not None)
    loras = [parse_lora(one) for one in lora or []]
    if loras or embedding:
        steps("fusing adapters")
    source = Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)
    with ExitStack() as stack:
        fused = stack.enter_context(with_adapters(stack.enter_context(open_model(source)), loras, embedding or []))
        folder = student = stack.enter_context(with_decoder(fused, decoder))
        if few_steps:
            own = Path(few_steps)
            if not own.is_dir():
                steps("fusing the student's adapter")
                own = stack.enter_context(with_adapters(fused, [parse_lora(few_steps)], []))
            student = stack.enter_context(with_decoder(own, decoder))
        bundle = engines.build(
            student,
            out,
            base=folder if few_steps else None,
            backend=backend,
            precision=precision,
            int8_t5=int8_t5,
            target=target,
            rows=rows,
            size=size,
            compile_mode=mode,
            refit=refit,
            refit_from=refit_from,
            prompts=prompt or None,
            classify=None if classifier is None else open_classifier(classifier),
            solve=own_steps,
            check=check_few_steps,
            allow_parity_failure=allow_parity_failure,
            overwrite=overwrite,
            progress=steps,
        )
    steps.end()
    if json:
        console.print_json({"bundle": str(out), "digest": bundle.digest} | bundle.manifest.model_dump(mode="json"))
        return
    certificate = read_certificate(bundle)
    if not certificate.own_steps:
        console.err.print(compared_with(certificate), soft_wrap=True)
    manifest = bundle.manifest
    verdict = "certified" if manifest.certified else Text("FAILED its certificate", "red")
    parts = f"{out}: {manifest.backend} {manifest.precision}, {manifest.spec.size} px, {manifest.rows} rows, "
    console.out.print(Text.assemble(parts, verdict, f"; see {typed('gen', 'inspect', out)}"), soft_wrap=True)


class Steps:
    """A line on stderr as a step begins, lines as a long one gets on, and one with its duration as it ends."""

    EVERY_S, LEAST_S = 5.0, 0.05

    def __init__(self) -> None:
        self.step, self.start, self.said = "", 0.0, 0.0

    def __call__(self, step: str, so_far: str = "") -> None:
        """Begin a step, which ends the one before; or say how far the present one is."""
        now = time.monotonic()
        if step != self.step:
            self.end()
            self.step, self.start, self.said = step, now, now
            console.err.print(f"{step} ...")
        elif now - self.said >= self.EVERY_S:
            self.said = now
            console.err.print(f"  {so_far}, {now - self.start:.0f} s")

    def end(self) -> None:
        """Print how long the step took, unless it took no time."""
        if self.step and (took := time.monotonic() - self.start) >= self.LEAST_S:
            console.err.print(f"{self.step}: {took:.1f} s")
        self.step = ""
