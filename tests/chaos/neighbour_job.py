"""A job without an agent: files, read without end, into committed files.

flink run -d -py neighbour_job.py INPUTS OUTPUTS
"""

import sys
from pathlib import Path

from pyflink.common import Duration, Encoder, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat

env = StreamExecutionEnvironment.get_execution_environment()
env.set_parallelism(1)
files = FileSource.for_record_stream_format(StreamFormat.text_line_format(), Path(sys.argv[1]).as_uri())
source = files.monitor_continuously(Duration.of_millis(200)).build()
sink = FileSink.for_row_format(Path(sys.argv[2]).as_uri(), Encoder.simple_string_encoder())
lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "lines")
lines.sink_to(sink.with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy()).build())
env.execute("neighbour")
