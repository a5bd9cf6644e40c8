# The HTTP service in a container, from the wheel (docs/how-to/serve.md). Where this file was written no container could
# be built: it has not been run.
#
#     make wheel && docker build -t xrayslam-zoo .
#     docker run --rm -p 127.0.0.1:8000:8000 -e ZOO_TOKEN="$(openssl rand -hex 24)" xrayslam-zoo

FROM python:3.12-slim

COPY build/wheel/*.whl /tmp/wheel/
RUN pip install --no-cache-dir "$(ls /tmp/wheel/*.whl)[jax,serve,api,dicom]" \
    && rm -r /tmp/wheel \
    && useradd --create-home --uid 10001 zoo

USER zoo
WORKDIR /home/zoo
ENV ZOO_HOME=/home/zoo/.zoo PYTHONUNBUFFERED=1

# OpenVINO's graph is written now, not at each start of a container.
RUN zoo predict --example --runtime openvino

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# Other machines reach a container: without ZOO_TOKEN the service says so, and ends.
ENTRYPOINT ["zoo", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["nih-lite", "--runtime", "openvino"]
