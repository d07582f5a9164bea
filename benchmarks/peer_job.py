"""PyFlink's KeyedProcessFunction on inputs like the benchmark's, as peer.py runs it.

Prints RATE: inputs per second by the difference of a long and a short run, so that the start of neither counts.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat
from pyflink.java_gateway import get_gateway

KEYS = 1_000
SHORT, LONG = 20_000, 120_000
TEXT = "lorem ipsum " * 25


class Answer(KeyedProcessFunction):
    def process_element(self, value, ctx):
        given = json.loads(value)
        yield json.dumps({"key": given["key"], "seq": given["seq"], "label": "positive", "text": given["text"][:240]})


def seconds_for(inputs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        lines = (
            json.dumps({"key": f"k{number % KEYS:06}", "seq": number, "score": 0.25, "text": TEXT})
            for number in range(inputs)
        )
        (Path(folder) / "inputs").write_text("\n".join(lines))
        environment = StreamExecutionEnvironment.get_execution_environment()
        environment.set_parallelism(1)
        environment.set_python_executable(sys.executable)
        source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), folder).build()
        outputs = (
            environment.from_source(source, WatermarkStrategy.no_watermarks(), "inputs")
            .key_by(lambda text: text[9:16], Types.STRING())
            .process(Answer(), Types.STRING())
        )
        sink = get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()
        outputs._j_data_stream.sinkTo(sink)
        started = time.monotonic()
        environment.execute()
        return time.monotonic() - started


seconds_for(SHORT)  # the first job of a process also starts its JVM
for _ in range(2):
    short, long = seconds_for(SHORT), seconds_for(LONG)
    print("RATE", round((LONG - SHORT) / (long - short), 1), flush=True)
