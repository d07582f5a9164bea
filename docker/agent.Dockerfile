# An agent's own image: the server's, the agent's packages, the agent. Here the one of examples/sentiment.
#
#   docker build -f docker/agent.Dockerfile -t sentiment-agent .
FROM flink-actions-server

USER root
RUN pip install --no-cache-dir -c /opt/build/constraints.txt vaderSentiment==3.3.2
COPY examples/sentiment/ /opt/agent/
USER 9999
