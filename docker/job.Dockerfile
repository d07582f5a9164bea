# A job's own image: Flink's, and the job's script. Here the one of examples/sentiment.
#
#   docker build -f docker/job.Dockerfile -t sentiment-job .
FROM flink-actions-flink

COPY examples/sentiment/job.py /opt/flink/usrlib/job.py
