"""A job that says nothing of its server: `flink run -D agent.endpoints=... -py configured_job.py INPUTS OUTPUTS`."""

import sys

from pyflink.common import Encoder, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, StreamFormat
from pyflink_actions import ActionServer, typed_job_errors

env = StreamExecutionEnvironment.get_execution_environment()
source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), sys.argv[1]).build()
lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "lines")
# A Python worker before the operator, in the environment that -pyexec names.
keyed = lines.map(lambda line: line.upper(), Types.STRING()).key_by(lambda line: line[0], key_type=Types.STRING())
outputs = ActionServer().agent("witness").apply(keyed).outputs
outputs.sink_to(FileSink.for_row_format(sys.argv[2], Encoder.simple_string_encoder()).build())
env.enable_checkpointing(500)
with typed_job_errors():
    env.execute("configured")
