# The action server: an ordinary Python process, run beside each TaskManager. No Flink and no JVM in here.
#
#   docker build -f docker/server.Dockerfile -t flink-actions-server .        (from the root, with the wheel in dist/)
#
# The agent is the user's and comes on top: by a derived image (agent.Dockerfile), or by a volume mounted at /opt/agent.
# Both serve /opt/agent/agent.py:agent, unless the container's arguments say otherwise.
FROM python:3.11-slim

# Flink's own image runs as 9999 too: two containers of a pod can then share a Unix socket that only its owner may open.
RUN groupadd --system --gid=9999 flink && useradd --system --uid=9999 --gid=flink --no-create-home flink

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/agent

COPY constraints.txt dist/*.whl /opt/build/
RUN python3 -m venv /opt/venv && pip install --no-cache-dir -c /opt/build/constraints.txt /opt/build/*.whl
# A volume that is mounted over an image's folder takes that folder's owner: the server must be able to make its socket.
RUN mkdir -p /opt/agent /run/flink-actions && chown 9999:9999 /run/flink-actions && chmod 0770 /run/flink-actions

USER 9999
WORKDIR /opt/agent
# Exec form: the server is process 1 and gets SIGTERM itself, drains, and exits 0.
ENTRYPOINT ["flink-actions", "serve"]
CMD ["/opt/agent/agent.py:agent", "--listen", "unix:/run/flink-actions/server.sock"]
