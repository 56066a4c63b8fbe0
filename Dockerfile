# Three images from one file: train (learns and seals), serve (answers, CPU), serve-gpu (answers, CUDA).
# Each target's virtual environment is made in a stage of its own and copied over: no compiler, no cache, no torch in serve.
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
RUN groupadd --gid 10001 polyrank \
 && useradd --uid 10001 --gid polyrank --home-dir /var/lib/polyrank --shell /usr/sbin/nologin polyrank \
 && install --directory --owner=polyrank --group=polyrank \
    /var/lib/polyrank /var/lib/polyrank/bundles /var/lib/polyrank/state /var/lib/polyrank/data /var/lib/polyrank/runs
WORKDIR /var/lib/polyrank

# One more index for pip, where the default one's torch is a CUDA build and the CPU build lies elsewhere.
FROM base AS build
ARG PIP_EXTRA_INDEX_URL=
# For the native loops of the request path (model/features/kernels); the images that run hold no compiler.
# A base whose Python is the distribution's has its headers in a package of their own.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
  && (test -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
    || apt-get install --yes --no-install-recommends python3-dev) \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV INSTALL="python -m pip install --no-cache-dir --constraint constraints/all.txt"
COPY pyproject.toml README.md LICENSE ./
COPY constraints constraints
# Empty packages first: the layer with the dependencies is made again only when they change.
COPY model/features/kernels/*.c model/features/kernels/*.h model/features/kernels/
RUN mkdir app index && touch app/__init__.py index/__init__.py model/__init__.py && python -m venv /opt/venv

FROM build AS build-serve
RUN $INSTALL '.[serve]'
COPY app app
COPY index index
COPY model model
RUN $INSTALL --no-deps --force-reinstall . && python -m pip uninstall --yes --quiet pip setuptools

FROM build AS build-serve-gpu
RUN $INSTALL '.[serve-gpu]'
COPY app app
COPY index index
COPY model model
RUN $INSTALL --no-deps --force-reinstall . && python -m pip uninstall --yes --quiet pip setuptools

FROM build AS build-train
# pip stays in this one: `polyrank data` fetches the sample set with it.
RUN $INSTALL '.[train]'
COPY app app
COPY index index
COPY model model
RUN $INSTALL --no-deps --force-reinstall .

FROM base AS train
COPY --from=build-train /opt/venv /opt/venv
COPY recipes recipes
USER polyrank
ENTRYPOINT ["polyrank"]
CMD ["train", "recipes/movies/dataset.toml", "--profile", "quick", "--out", "bundles"]

# Off loopback the service starts only with POLYRANK_API_KEYS.
FROM base AS service
ENV POLYRANK_HOST=0.0.0.0 POLYRANK_PORT=8000 \
    POLYRANK_BUNDLES=/var/lib/polyrank/bundles POLYRANK_STATE_DIR=/var/lib/polyrank/state
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"POLYRANK_PORT\"]}/healthz', timeout=2)"]
USER polyrank
ENTRYPOINT ["polyrank"]
CMD ["serve"]

FROM service AS serve-gpu
COPY --from=build-serve-gpu /opt/venv /opt/venv
# The CUDA libraries come as wheels; the loader finds them here.
ARG NVIDIA=/opt/venv/lib/python3.11/site-packages/nvidia
ENV POLYRANK_DEVICE=cuda \
    LD_LIBRARY_PATH=${NVIDIA}/cuda_runtime/lib:${NVIDIA}/cublas/lib:${NVIDIA}/cudnn/lib:${NVIDIA}/cufft/lib:${NVIDIA}/curand/lib:${NVIDIA}/cuda_nvrtc/lib:${NVIDIA}/nvjitlink/lib

FROM service AS serve
COPY --from=build-serve /opt/venv /opt/venv
