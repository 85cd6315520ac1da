# One image for every way of running Fileplane: on a volume of its own, or as one of many nodes over PostgreSQL and an object store.
# Python 3.11 because that is what the tests run on.

FROM python:3.11-slim-bookworm AS build
# Nothing is compiled: what has no wheel for the platform fails the build instead.
ENV PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
WORKDIR /opt/fileplane
COPY tools/install tools/install
COPY requirements/image.txt requirements/image.txt
# Every package with the hash that the lock has of it, every extra among them; the environment is otherwise that of `make serve`.
RUN tools/install requirements/image.txt \
    && rm -rf .venv/lib/python*/site-packages/pip .venv/lib/python*/site-packages/pip-* \
        .venv/lib/python*/site-packages/setuptools* .venv/lib/python*/site-packages/pkg_resources .venv/bin/pip*
COPY src src
RUN .venv/bin/python -m compileall -q src && mkdir -m 0700 data

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="fileplane" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/fileplane/.venv /opt/fileplane/.venv
COPY --from=build /opt/fileplane/src /opt/fileplane/src
COPY LICENSE /opt/fileplane/LICENSE
COPY --from=build --chown=10001:10001 /opt/fileplane/data /var/lib/fileplane
# What is compiled is compiled above, so that the root file system may be read-only.
ENV PATH=/opt/fileplane/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FILEPLANE_HOST=0.0.0.0 \
    FILEPLANE_PORT=8787 \
    FILEPLANE_DATA_DIR=/var/lib/fileplane
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
VOLUME /var/lib/fileplane
EXPOSE 8787
STOPSIGNAL SIGTERM
# With tls_cert the server speaks HTTPS alone: replace this one then.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ['FILEPLANE_PORT']), timeout=4); asked.request('GET', '/healthz'); sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["fileplane"]
CMD ["serve"]
