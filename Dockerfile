# docker build -t spsam .
# docker run --gpus all --shm-size 8g -v "$PWD:/work" spsam ablate S1..S9 --data /work/ACDC
#
# A smaller image without CUDA: `--build-arg TORCH_INDEX=URL` with the index of PyTorch's CPU builds, which
# pytorch.org names.
FROM python:3.12-slim

ARG TORCH_INDEX=

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 SPSAM_HOME=/work/spsam-runs

WORKDIR /opt/spsam
COPY . .
RUN if [ -n "$TORCH_INDEX" ]; then pip install torch torchvision --index-url "$TORCH_INDEX"; fi \
    && pip install -c constraints.txt '.[all]'

WORKDIR /work
ENTRYPOINT ["spsam"]
CMD ["--help"]
