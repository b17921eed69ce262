# dkim-relay as a container: one process, any user, a root file system that is never written.
# Mount /keys (DOMAIN/SELECTOR.pem) and set DKIM_RELAY_UPSTREAM__URL; /config/relay.toml is read
# when it is there. Any Debian-like base with Python 3.11 or later and its venv module will do:
#
#   docker build -t dkim-relay .
#   docker build -t dkim-relay --build-arg BASE=python:3.12-slim-bookworm .

ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./
# dkimpy is published as source only, and the relay is source too. What builds them comes from the
# lock as well, so that nothing is fetched without a hash; then nothing of it goes further.
RUN awk '/^[a-z0-9]/ { \
        wanted = /^(hatchling|packaging|pathspec|pip|pluggy|setuptools|trove-classifiers|wheel)==/ \
    } wanted' requirements-dev.lock >build-tools.lock \
    && python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --require-hashes --no-deps -r build-tools.lock \
    && tools/bin/pip wheel --no-cache-dir --no-build-isolation --require-hashes \
        --wheel-dir wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY relay relay
RUN tools/bin/pip wheel --no-build-isolation --no-deps --no-index --wheel-dir wheels . \
    && python3 -m venv --without-pip /opt/dkim-relay \
    && tools/bin/pip --python /opt/dkim-relay/bin/python install --no-cache-dir --no-index \
        --no-deps wheels/*.whl

FROM ${BASE}
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="dkim-relay" \
      org.opencontainers.image.description="An SMTP relay proxy that signs mail with DKIM in transit" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/dkim-relay /opt/dkim-relay
ENV PATH=/opt/dkim-relay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# Settings and keys are looked for where one stands: /config/relay.toml and /keys.
WORKDIR /
# A number, so that "not root" can be seen without a table of users; any other number will do.
USER 65532:0
EXPOSE 2525
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s CMD ["dkim-relay", "healthcheck"]
ENTRYPOINT ["dkim-relay"]
CMD ["serve"]
