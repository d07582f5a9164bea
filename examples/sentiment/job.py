"""Streams the snippets through the agent: files, key by field names, operator, files. No Python worker is started.

python job.py --server localhost:7077 --snippets build/snippets --outputs build/outputs
flink run -py job.py --server localhost:7077 --snippets /data/snippets --outputs /data/outputs
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pyflink.common import Encoder, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, StreamFormat
from pyflink_actions import ActionServer, typed_job_errors


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="localhost:7077")
    parser.add_argument("--snippets", type=uri, required=True, help="folder of JSON lines, or its URI")
    parser.add_argument("--outputs", type=uri, required=True, help="folder to write JSON lines to, or its URI")
    return parser.parse_args(words)


def uri(folder: str) -> str:
    return folder if "://" in folder else Path(folder).absolute().as_uri()


def main() -> None:
    arguments = read_arguments()

    env = StreamExecutionEnvironment.get_execution_environment()
    # A checkpoint is also what makes the sink's lines visible.
    env.enable_checkpointing(500)

    lines = FileSource.for_record_stream_format(StreamFormat.text_line_format(), arguments.snippets).build()
    snippets = env.from_source(lines, WatermarkStrategy.no_watermarks(), "snippets")

    server = ActionServer(arguments.server)
    sentiment = server.agent("sentiment").apply(snippets, key_by=["corpus", "document"], input_type="json")

    files = FileSink.for_row_format(arguments.outputs, Encoder.simple_string_encoder()).build()
    sentiment.outputs.sink_to(files)

    with typed_job_errors():
        env.execute("sentiment")


if __name__ == "__main__":
    main()
