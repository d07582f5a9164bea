"""The job that is hurt: two folders of JSON lines, read without end, through the agent into committed files.

flink run -d -py job.py SERVER LEFT RIGHT OUTPUTS DEAD_LETTERS
"""

import sys
from pathlib import Path

from pyflink.common import Duration, Encoder, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink_actions import ActionServer

server, left, right, outputs, dead_letters = sys.argv[1:]

env = StreamExecutionEnvironment.get_execution_environment()
env.set_parallelism(2)


def lines(folder: str) -> DataStream:
    """One partition, in the order of each file."""
    files = FileSource.for_record_stream_format(StreamFormat.text_line_format(), Path(folder).as_uri())
    name = Path(folder).name
    source = env.from_source(
        files.monitor_continuously(Duration.of_millis(200)).build(), WatermarkStrategy.no_watermarks(), name
    )
    return source.uid(name).set_parallelism(1)


def commit(stream: DataStream, folder: str) -> None:
    """Into files that appear when a checkpoint is complete, and only then."""
    files = FileSink.for_row_format(Path(folder).as_uri(), Encoder.simple_string_encoder())
    policy = RollingPolicy.on_checkpoint_rolling_policy()
    name = Path(folder).name
    stream.sink_to(files.with_rolling_policy(policy).build()).name(name).uid(name)


hurt = ActionServer(server).agent("hurt").apply(lines(left).union(lines(right)), key_by="key", input_type="json")
commit(hurt.outputs, outputs)
commit(hurt.dead_letters, dead_letters)
env.execute("hurt")
