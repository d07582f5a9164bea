# Flink with what a PyFlink job needs to be built in the cluster (application mode, `flink run -py` in a container).
#
#   docker build -f docker/flink.Dockerfile -t flink-actions-flink .          (from the root, with the wheel in dist/)
#
# The Python in here runs the job's main() once, when the job graph is built. A job that chooses its key by field name has no
# Python in its TaskManagers: source, key, operator and sink are JVM code, and the actions run in the server beside them.
# Such a job may even use the plain image in its TaskManagers, because the operator's jar travels with the job. Only a job
# with Python functions of its own (map, key_by with a lambda) starts PyFlink's workers and needs this image everywhere.
FROM flink:2.3.0-java17

RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/venv/bin:$PATH

COPY dist/*.whl /opt/build/
# The wheel comes without its dependencies: gRPC and protobuf of the server's choosing would fight with PyFlink's pins, and
# a job needs neither.
RUN python3 -m venv /opt/venv && pip install --no-cache-dir apache-flink==2.3.0
RUN pip install --no-cache-dir --no-deps /opt/build/*.whl && mkdir -p /opt/flink/usrlib

# A volume that is mounted over an image's folder takes that folder's owner, and root's where there is none: the job must be
# able to write there. The last is the socket's, in case Flink starts before the server.
RUN mkdir -p /opt/checkpoints /opt/outputs /run/flink-actions && chown flink:flink /opt/checkpoints /opt/outputs /run/flink-actions

USER flink
