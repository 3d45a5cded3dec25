"""Fixtures that more than one package uses."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from ends import Warm, warmed
from hub_server import hub_server
from hub_state import TOKEN, Hub

from engines.checkpoint.weights import write_weights
from gen.phantoms.dataset import PhantomSplit

torch.set_num_threads(1)  # tests run side by side
hypothesis.settings.register_profile("shared", deadline=None)  # and a slow moment is no fault of the code
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session", autouse=True)
def _quick_to_compile() -> Iterator[None]:
    """On a GPU, what names no mode of compiling is compiled without autotuning: a tiny model alone takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        if torch.cuda.is_available():
            patch.setattr("engines.backends.torch_compiled.USUAL_MODE", "default")
        yield


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """accelerate keeps its precision for the life of a process."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="session")
def random_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline folder of the built-in pipeline's shapes."""
    from pipelines_helpers import new_pipeline

    folder, pipeline = tmp_path_factory.mktemp("random") / "pipeline", new_pipeline(0)
    pipeline.save_pretrained(folder)
    write_weights(folder, "text_encoder", pipeline.text_encoder.state_dict())  # under the names of every version
    return folder


@pytest.fixture(scope="session")
def phantom_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small train/, validation/ and test/ sets of phantoms: 72, 36 and 72 images."""
    folder = tmp_path_factory.mktemp("phantoms")
    for split, per_cell in (("train", 2), ("validation", 1), ("test", 2)):
        PhantomSplit(split, per_cell, seed=900).write(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """A local S3 server; its address."""
    server = pytest.importorskip("moto.server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    moto.start()
    yield f"http://127.0.0.1:{port}"
    moto.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new empty bucket, and a new cache."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("DERMFORGE_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/set"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hugging Face Hub of this test's own, which knows the user."""
    from huggingface_hub import constants, file_download, utils

    reset = getattr(utils, "reset_sessions" if hasattr(utils, "reset_sessions") else "close_session")
    with hub_server() as server:
        for name, value in (
            ("ENDPOINT", server.url),
            ("HF_HUB_OFFLINE", False),
            ("HF_HUB_DISABLE_XET", True),  # the server has the older of the two protocols for large files
            ("HF_HUB_CACHE", str(tmp_path / "hub-cache")),
            ("HF_TOKEN_PATH", str(tmp_path / "no-token")),
        ):
            monkeypatch.setattr(constants, name, value)
        for module in (constants, file_download):  # which has a copy in some versions
            template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        for variable, value in {
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }.items():
            monkeypatch.setenv(variable, value)
        reset()
        yield server
        reset()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that runs commands and ends them at any of their calls."""
    with warmed(tmp_path_factory.mktemp("ends")) as process:
        yield process
