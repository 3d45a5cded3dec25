# The image that runs dermforge; it holds nothing for development.
#
#   docker build -t dermforge .
#   docker run --rm --gpus all dermforge                      # what GPU, driver and backends it finds
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/data" dermforge bench all
#
# Another base (Debian 12 or Ubuntu 24.04, with Python 3.11 or later):  --build-arg BASE=debian:12-slim@sha256:...
# The wheels bring CUDA; the base needs only what the NVIDIA container toolkit mounts the driver into.
ARG BASE=nvidia/cuda:13.0.2-base-ubuntu24.04@sha256:2ab6381d970b211fb93853796dc6707eb8a72575a375c422b17cf4d8b2641701

FROM ${BASE} AS python
ENV DEBIAN_FRONTEND=noninteractive
# torch.compile builds its launchers at run time with gcc and the headers; a CPU engine file of the backend torch needs g++.
# The distribution's release pins these packages; exact versions vanish from its mirrors.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv python3-dev gcc g++ libc6-dev ca-certificates \
 && rm -rf /var/lib/apt/lists/*

FROM python AS wheels
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv
WORKDIR /build
# Pass a private mirror with `--secret id=pip,src=pip.conf`: it stays out of the image and of its history.
COPY requirements.lock requirements-gpu.lock ./
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --no-compile --require-hashes -r requirements.lock

# ONNX Runtime for CUDA 13 replaces the one for CPUs (it runs on CPUs too), and TensorRT's Python side comes with it.
ARG GPU=1
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    if [ "${GPU}" = 1 ]; then \
      pip uninstall -y onnxruntime \
      && pip install --no-compile --no-deps --no-build-isolation --require-hashes -r requirements-gpu.lock; \
    fi

# TensorRT's libraries are only in NVIDIA's own package index; give its address to install them. No other package comes
# from there, and no other file than the one with this digest (that of Linux on x86_64).
ARG TENSORRT_INDEX
ARG TENSORRT=10.16.1.11
ARG TENSORRT_SHA256=91142c8ab3c58bed213cf1a563a6eb4e4f0ac529d05b5f909073acece0e3b712
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -n "${TENSORRT_INDEX}" ]; then \
      echo "tensorrt-cu13-libs==${TENSORRT} --hash=sha256:${TENSORRT_SHA256}" > tensorrt.lock \
      && pip install --no-compile --no-deps --only-binary :all: --require-hashes \
           --index-url "${TENSORRT_INDEX}" -r tensorrt.lock; \
    fi

# The code comes last: it changes most often, and this layer is small.
COPY pyproject.toml README.md LICENSE ./
COPY dermforge dermforge
COPY engines engines
COPY gen gen
COPY shards shards
COPY evalsuite evalsuite
COPY bench bench
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --no-compile --no-deps --no-build-isolation .

FROM python
COPY --from=wheels /opt/venv /opt/venv
# Everybody may write to the home, so that `--user "$(id -u)"` works with mounted folders.
RUN useradd --create-home --uid 10001 dermforge && chmod 1777 /home/dermforge && install -d -m 1777 /data
ARG DERMFORGE_COMMIT=unknown
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/dermforge \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    DERMFORGE_COMMIT=${DERMFORGE_COMMIT}
LABEL org.opencontainers.image.title="dermforge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${DERMFORGE_COMMIT}"
USER 10001:10001
WORKDIR /data
HEALTHCHECK --interval=10m --timeout=2m --start-period=1m --retries=2 CMD ["gen", "doctor", "--json"]
ENTRYPOINT []
CMD ["gen", "doctor"]
