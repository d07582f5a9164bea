"""The job that is hurt: two folders of JSON lines, read without end, through the agent into committed files.

flink run -d -py job.py SERVER LEFT RIGHT OUTPUTS DEAD_LETTERS [BROKER]

With a broker, calls are recorded in a topic there.
"""

import sys
from pathlib import Path

from pyflink.common import Duration, Encoder, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink_actions import ActionServer, KafkaStore

server, left, right, outputs, dead_letters, *broker = sys.argv[1:]

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


store = KafkaStore(broker[0], "hurt", partitions=8) if broker else None
agent = ActionServer(server, action_state_store=store).agent("hurt")
hurt = agent.apply(lines(left).union(lines(right)), key_by="key", input_type="json")
commit(hurt.outputs, outputs)
commit(hurt.dead_letters, dead_letters)
env.execute("hurt")
