"""Writing, reading and mixing shards, compared with webdataset's writer and reader and with raw tarfile."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import webdataset as wds

from bench.measure.record import Measurement, higher, ratios
from shards import MixedStream, Sample, ShardSet, Source, write_shard

CLASSES = ("macule", "nodule")

Files = list[tuple[Sample, bytes]]


def make_files(n: int, size: int, seed: int = 0) -> Files:
    """Samples whose images are random bytes, because nothing here decodes them."""
    random = np.random.default_rng(seed)
    return [
        (Sample(id=f"s-{i:07d}", origin="phantom", label=CLASSES[i % 2], width=64, height=64), random.bytes(size))
        for i in range(n)
    ]


def measure(
    files: Files, folder: Path, repeats: int, tick: Callable[[str], None] = lambda name: None
) -> list[Measurement]:
    """Every writer, then every reader of what was written; the contestants take turns.

    Every writer ends with fsync unless its name says otherwise. Files are in the page cache when they are read.
    """
    n, total = len(files), sum(len(image) for _, image in files)
    writers: dict[str, Callable[[Path], object]] = {
        "write/tarfile": lambda out: _tarfile(files, out),
        "write/webdataset": lambda out: _webdataset(files, out),
        "write/ours": lambda out: _ours(files, out, digests=True),
        "write/ours, no digests": lambda out: _ours(files, out, digests=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(repeats):
        for name, writer in writers.items():
            out = folder / "written"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            os.sync()
            seconds[name].append(_timed(lambda w=writer, o=out: w(o)))  # type: ignore[misc]
            tick(name)
    shards = folder / "read"
    shutil.rmtree(shards, ignore_errors=True)
    _ours(files, shards, digests=True)
    data = ShardSet.open(shards)
    urls = [str(shards / sidecar.tar) for sidecar in data.sidecars]
    readers: dict[str, Callable[[], int]] = {
        "read/tarfile": lambda: _read_tarfile(urls),
        "read/webdataset": lambda: sum(1 for _ in wds.WebDataset(urls, shardshuffle=False)),
        "read/ours": lambda: sum(1 for _ in data.samples()),
        "read/ours, verified": lambda: sum(1 for _ in data.samples(verify=True)),
        "mix/webdataset RandomMix": lambda: _random_mix(urls, n),
        "mix/ours": lambda: _mix(data, n),
    }
    seconds |= {name: [] for name in readers}
    for reader in readers.values():  # into the page cache
        reader()
    for _ in range(repeats):
        for name, reader in readers.items():
            seconds[name].append(_timed(reader))
            tick(name)
    shutil.rmtree(folder / "written", ignore_errors=True)
    shutil.rmtree(shards, ignore_errors=True)
    return [m for name, times in seconds.items() for m in _measurements(name, times, n, total)]


def shares(found: list[Measurement]) -> list[Measurement]:
    """Our throughput as a share of the peer's in the same turn, with its bar."""
    bars = {
        "write/ours": ("write/tarfile", 0.80),
        "write/ours, no digests": ("write/tarfile", 0.95),
        "read/ours": ("read/webdataset", 0.90),
    }
    rates = {m.name.removesuffix("/samples"): m.samples for m in found if m.name.endswith("/samples")}
    return [
        higher(f"share/{ours} of {peer}", "", ratios(rates[ours], rates[peer]), {"bar": bar})
        for ours, (peer, bar) in bars.items()
    ]


def _measurements(name: str, times: list[float], n: int, total: int) -> list[Measurement]:
    return [
        higher(f"{name}/samples", "samples/s", [n / t for t in times]),
        higher(f"{name}/bytes", "MB/s", [total / 1e6 / t for t in times]),
    ]


def _timed(body: Callable[[], object]) -> float:
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def _ours(files: Files, out: Path, digests: bool) -> None:
    write_shard(out, "set", 0, ((s, image, "jpg") for s, image in files), classes=CLASSES, digests=digests)


def _tarfile(files: Files, out: Path) -> None:
    with (out / "set.tar").open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for sample, image in files:
                contents = {"cls": b"0", "jpg": image, "json": sample.canonical()}
                for ext, content in contents.items():
                    info = tarfile.TarInfo(f"{sample.id}.{ext}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        file.flush()
        os.fsync(file.fileno())


def _webdataset(files: Files, out: Path) -> None:
    with (out / "set.tar").open("wb") as file:
        with wds.TarWriter(file, mtime=0) as writer:
            for sample, image in files:
                writer.write({"__key__": sample.id, "cls": b"0", "jpg": image, "json": sample.canonical()})
        file.flush()
        os.fsync(file.fileno())


def _read_tarfile(urls: list[str]) -> int:
    read = 0
    for url in urls:
        with tarfile.open(url) as archive:
            for member in archive:
                content = archive.extractfile(member)
                read += len(content.read()) if content else 0
    return read


def _random_mix(urls: list[str], n: int) -> int:
    parts = [wds.WebDataset(urls, shardshuffle=False) for _ in range(2)]
    return sum(1 for _ in itertools.islice(wds.RandomMix(parts, [0.25, 0.75], longest=True), n))


def _mix(data: ShardSet, n: int) -> int:
    stream = MixedStream([Source(data, 1), Source(data, 3)], 64, steps=max(1, n // 64))
    read = 0
    for step in range(stream.steps):
        for source, row in stream.global_order(0, step):
            stream.sources[source].images.at(row, verify=False)
            read += 1
    return read
