"""The small latent diffusion pipeline that comes with the project, trained on phantoms."""

from pathlib import Path


def pipeline_folder(inpaint: bool = False) -> Path:
    """The committed diffusers folder (`StableDiffusionPipeline`, or the inpainting one)."""
    return Path(__file__).parent / ("pipeline-inpaint" if inpaint else "pipeline")
