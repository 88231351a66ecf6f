FROM python:3.11.15-slim-bookworm AS build
RUN python -m venv /opt/shoal
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY config config
COPY models models
COPY stream stream
RUN /opt/shoal/bin/pip install --disable-pip-version-check --no-cache-dir \
    --constraint requirements.lock .

FROM python:3.11.15-slim-bookworm
RUN groupadd --gid 10001 shoal \
    && useradd --uid 10001 --gid shoal --no-create-home --shell /usr/sbin/nologin shoal
COPY --from=build /opt/shoal /opt/shoal
ENV PATH=/opt/shoal/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8001 8002
ENTRYPOINT ["shoal"]
CMD ["worker"]
# The worker's; a trainer listens on another port and brings its own check.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('SHOAL_METRICS_PORT', '8001') + '/healthz', timeout=3)"]
