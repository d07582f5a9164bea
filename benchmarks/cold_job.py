"""A small PyFlink job, as a user would write it; prints OUTPUT for each output."""

import json
import sys

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink_actions import ActionServer

inputs = [
    json.dumps({"key": f"k{number % 10}", "seq": number, "score": 0.25, "text": "lorem ipsum " * 20})
    for number in range(100)
]
environment = StreamExecutionEnvironment.get_execution_environment()
environment.set_parallelism(1)
stream = environment.from_collection(inputs, type_info=Types.STRING())
outputs = ActionServer(sys.argv[1]).agent("trivial").apply(stream, key_by="key", input_type="json").outputs
for output in outputs.execute_and_collect():
    print("OUTPUT", output, flush=True)
