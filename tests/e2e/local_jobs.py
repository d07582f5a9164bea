"""Jobs that run with `python`, each on a MiniCluster of its own; in PyFlink's environment, one process for all of them.

    python local_jobs.py SERVER ONE_THAT_ALLOWS_PICKLES RESULTS.json A_SECURE_ONE FOLDER_OF_CERTIFICATES

$FLINK_CONF_DIR holds a config.yaml with the first address and a limit in its section `agent:`.

What each job put out, or the error that it ended with, goes into the file under the job's name.
"""

import datetime
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Instant, Row, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, ProcessFunction, RuntimeExecutionMode, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat
from pyflink.table import StreamTableEnvironment
from pyflink_actions import (
    ActionJobError,
    ActionServer,
    Backoff,
    FailurePolicy,
    KafkaStore,
    Launch,
    OptionError,
    Tls,
    typed_job_errors,
)

Job = Callable[[str], Any]
JOBS: dict[str, Job] = {}

ORDERS = Types.ROW_NAMED(["customer", "number", "amount"], [Types.STRING(), Types.INT(), Types.DOUBLE()])


def job(function: Job) -> Job:
    JOBS[function.__name__] = function
    return function


def environment() -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    return env


def orders(env: StreamExecutionEnvironment) -> DataStream:
    return env.from_collection([Row("ann", 1, 0.5), Row("bob", 2, 1.5), Row("ann", 3, 2.5)], type_info=ORDERS)


def texts(env: StreamExecutionEnvironment) -> DataStream:
    return env.from_collection(['{"user": "ann", "n": 1}', '{"user": "bob", "n": 2}'], type_info=Types.STRING())


def collected(stream: DataStream) -> list[Any]:
    with typed_job_errors(), stream.execute_and_collect() as results:
        return list(results)


def parsed(stream: DataStream) -> list[Any]:
    return [json.loads(text) for text in collected(stream)]


# ---- what goes in, what comes out ----


@job
def rows_become_dicts_and_short_term_memory_counts_per_key(server: str) -> Any:
    witness = ActionServer(server).agent("witness")
    return parsed(witness.apply(orders(environment()), key_by="customer").outputs)


@job
def rows_come_back_as_rows(server: str) -> Any:
    fields = {
        "text": (Types.STRING(), "é😀"),
        "long": (Types.LONG(), 2**62),
        "decimal": (Types.BIG_DEC(), Decimal("12.50")),
        "bytes": (Types.PRIMITIVE_ARRAY(Types.BYTE()), b"\x00\xff"),
        "instant": (Types.INSTANT(), Instant.of_epoch_milli(1_709_197_687_006)),
        "date": (Types.SQL_DATE(), datetime.date(2024, 2, 29)),
        "list": (Types.LIST(Types.STRING()), ["a", "b"]),
        "map": (Types.MAP(Types.STRING(), Types.LONG()), {"k": 1}),
        "row": (Types.ROW_NAMED(["inner"], [Types.BOOLEAN()]), Row(inner=True)),
        "none": (Types.STRING(), None),
    }
    row_type = Types.ROW_NAMED(list(fields), [type_info for type_info, _ in fields.values()])
    sent = [value for _, value in fields.values()]
    stream = texts(environment()).filter(lambda text: "ann" in text).map(lambda _: Row(*sent), row_type)
    echo = ActionServer(server).agent("echo")
    outputs = echo.apply(stream, key_by=["text", "long"], output_type=row_type).outputs
    # Compared in a Python function: PyFlink's collect() knows fewer types.
    (got,) = parsed(outputs.map(lambda row: json.dumps([repr(value) for value in row]), Types.STRING()))
    return {name: [repr(value), other] for name, value, other in zip(fields, sent, got, strict=True)}


VISITS = Types.ROW_NAMED(
    ["who", "at", "spent", "photo", "place", "tags", "counts"],
    [
        Types.STRING(),
        Types.SQL_TIMESTAMP(),
        Types.BIG_DEC(),
        Types.PRIMITIVE_ARRAY(Types.BYTE()),
        Types.ROW_NAMED(["city", "since"], [Types.STRING(), Types.SQL_DATE()]),
        Types.LIST(Types.STRING()),
        Types.MAP(Types.STRING(), Types.LONG()),
    ],
)
SEEN = datetime.datetime(2024, 2, 28, 23, 59, 59, 123_000)
CITY = Row(city="Erfurt", since=datetime.date(1816, 2, 29))
NOWHERE = Row(city=None, since=datetime.date(1816, 2, 29))


def visits(_: str) -> Any:
    """A row with every value, one with a null in a nested row, and one with nulls only."""
    yield Row("ann", SEEN, Decimal("12.50"), b"\x00\xff", CITY, ["a", "b"], {"k": 1})
    yield Row("bob", SEEN, Decimal("-0.001"), b"", NOWHERE, [], {})
    yield Row("cyd", None, None, None, None, None, None)


@job
def rows_reach_agents_as_rows_and_as_a_dataclass_and_come_back_as_rows(server: str) -> Any:
    stream = texts(environment()).filter(lambda text: "ann" in text).flat_map(visits, VISITS)
    here = ActionServer(server)
    # Gives each row back twice: by names, and by position.
    rows = here.agent("rows").apply(stream, key_by="who", output_type=VISITS).outputs
    changed = here.agent("visits").apply(rows, key_by="who", output_type=VISITS).outputs
    got = collected(changed.map(lambda row: repr(row.as_dict(True)), Types.STRING()))

    next_day = SEEN + datetime.timedelta(days=1)
    city, nowhere = (Row(city=name, since=datetime.date(2000, 2, 29)) for name in ("Erfurt", None))
    expected = [
        Row("ann", next_day, Decimal("25.00"), b"\xff\x00", city, ["a", "b"], {"k": 1}),
        Row("bob", next_day, Decimal("-0.002"), b"", nowhere, [], {}),
        Row("cyd", None, None, None, None, None, None),
    ]
    names = VISITS.get_field_names()
    named = [Row(**dict(zip(names, visit, strict=True))) for visit in expected]
    return {"got": sorted(got), "expected": sorted(repr(row.as_dict(True)) for row in named * 2)}


@job
def json_passes_untouched(server: str) -> Any:
    echo = ActionServer(server).agent("echo")
    return collected(echo.apply(texts(environment()), key_by="user", input_type="json").outputs)


@job
def a_stream_keyed_in_python_keeps_its_key(server: str) -> Any:
    keyed = texts(environment()).key_by(len, key_type=Types.LONG())
    return parsed(ActionServer(server).agent("witness").apply(keyed).outputs)


@job
def strings_come_back_as_strings(server: str) -> Any:
    stream = environment().from_collection(["eins", "zwei"], type_info=Types.STRING())
    keyed = stream.key_by(lambda text: text[0], key_type=Types.STRING())
    return collected(ActionServer(server).agent("echo").apply(keyed, output_type="string").outputs)


@job
def bytes_come_back_as_bytes(server: str) -> Any:
    bytes_type = Types.PRIMITIVE_ARRAY(Types.BYTE())
    stream = texts(environment()).map(lambda text: b"\x00\xff" + text.encode(), bytes_type)
    keyed = stream.key_by(len, key_type=Types.INT())
    outputs = ActionServer(server).agent("echo").apply(keyed, output_type=bytes_type).outputs
    return collected(outputs.map(lambda value: bytes(value).hex(), Types.STRING()))


@job
def outputs_become_python_objects(server: str) -> Any:
    values = [None, True, -1, 2**40, -(2**63), 2**63, 0.1, "é😀", [], {}, [{"a": [1, {"b": ["c"]}]}]]
    stream = environment().from_collection([json.dumps({"k": "k", "values": values})], type_info=Types.STRING())
    echo = ActionServer(server).agent("echo")
    outputs = echo.apply(stream, key_by="k", input_type="json", output_type=Types.PICKLED_BYTE_ARRAY()).outputs
    return collected(outputs.map(lambda value: [repr(value["values"]), repr(values)]))


@job
def pickled_inputs_travel_with_the_consent_of_both_sides(server: str) -> Any:
    stream = environment().from_collection([{"tuple": (1, 2)}, {"when": datetime.date(2024, 2, 29)}])
    keyed = stream.key_by(lambda value: next(iter(value)), key_type=Types.STRING())
    echo = ActionServer(sys.argv[2], allow_pickle=True).agent("echo")
    return parsed(echo.apply(keyed).outputs)


@job
def timestamps_are_kept(server: str) -> Any:
    class Number(TimestampAssigner):
        def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
            return int(value[1]) * 1000

    class Stamp(ProcessFunction):
        def process_element(self, value: str, ctx: ProcessFunction.Context) -> Any:
            yield json.dumps([json.loads(value)["timestamp"], ctx.timestamp()])

    strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(Number())
    stream = orders(environment()).assign_timestamps_and_watermarks(strategy)
    outputs = ActionServer(server).agent("witness").apply(stream, key_by="customer").outputs
    return parsed(outputs.process(Stamp(), Types.STRING()))


@job
def batch_gives_what_streaming_gives(server: str) -> Any:
    env = environment()
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    witness = ActionServer(server, unsorted_batch_input=True).agent("witness")
    return parsed(witness.apply(orders(env), key_by="customer").outputs)


@job
def agents_read_the_jobs_configuration(server: str) -> Any:
    witness = ActionServer(server, config={"greeting": {"deep": [1]}}).agent("witness")
    return parsed(witness.apply(orders(environment()), key_by="number").outputs)


@job
def server_and_limit_come_from_the_file(server: str) -> Any:
    return parsed(ActionServer().agent("witness").apply(orders(environment()), key_by="number").outputs)


@job
def the_commands_options_beat_the_file(server: str) -> Any:
    env = StreamExecutionEnvironment.get_execution_environment(Configuration().set_string("agent.run-timeout", "500 s"))
    env.set_parallelism(1)
    return parsed(ActionServer().agent("witness").apply(orders(env), key_by="number").outputs)


@job
def code_beats_the_file(server: str) -> Any:
    configured = ActionServer(run_timeout=100)
    return parsed(configured.agent("witness").apply(orders(environment()), key_by="number").outputs)


@job
def a_server_with_certificates_and_a_token_is_reached_with_them(server: str) -> Any:
    address, folder = sys.argv[4], Path(sys.argv[5])
    tls = Tls(ca=f"{folder / 'authority.crt'}", certificate=f"{folder / 'client.crt'}", key=f"{folder / 'client.key'}")
    secured = ActionServer(address, tls=tls, token_file=str(folder / "token"))
    return parsed(secured.agent("echo").apply(orders(environment()), key_by="customer").outputs)


@job
def one_job_may_have_two_agents(server: str) -> Any:
    stream = orders(environment())
    here = ActionServer(server)
    echoes = here.agent("echo").apply(stream, key_by="customer", output_type=ORDERS).outputs
    return parsed(here.agent("witness").apply(echoes, key_by="customer", name="second").outputs)


@job
def events_come_as_a_stream(server: str) -> Any:
    echo = ActionServer(server).agent("echo")
    streams = [echo.apply(orders(environment()), key_by="customer", events=wanted) for wanted in (True, False)]
    return [stream.events and parsed(stream.events) for stream in streams]


def launched(agent: str) -> ActionServer:
    python = Path(__file__).parents[2] / ".venv-server" / "bin" / "python"
    return ActionServer(launch=Launch(f"{Path(__file__).with_name('agents.py')}:{agent}", python=str(python)))


@job
def a_job_may_launch_its_server(server: str) -> Any:
    return parsed(launched("echo").agent("echo").apply(orders(environment()), key_by="customer").outputs)


@job
def the_buffer_timeout_is_low_unless_the_job_says_otherwise(server: str) -> Any:
    timeouts = []
    for own in (None, 100):
        env = environment()
        if own is not None:
            env.set_buffer_timeout(own)
        ActionServer(server).agent("echo").apply(orders(env), key_by="customer")
        timeouts.append(env.get_buffer_timeout())
    return timeouts


class Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@job
def keys_that_may_be_mistaken_are_told_once(server: str) -> Any:
    notes = Notes()
    logging.getLogger("pyflink_actions").addHandler(notes)
    stream = orders(environment())
    configured = ActionServer(server, config={"num-async-threads": 4, "reconect-timeout": "5 s", "greeting": "hi"})
    for name in ("echo", "witness"):
        configured.agent(name).apply(stream, key_by="customer")
    return notes.messages


# ---- what goes wrong ----


@job
def a_table(server: str) -> Any:
    env = environment()
    table = StreamTableEnvironment.create(env).from_data_stream(orders(env))
    ActionServer(server).agent("echo").apply(table, key_by="customer")


@job
def an_unknown_key_field(server: str) -> Any:
    ActionServer(server).agent("echo").apply(orders(environment()), key_by="custmer")


@job
def an_unknown_key_field_of_json(server: str) -> Any:
    ran_into(ActionServer(server), texts(environment()), key_by="usr", input_type="json")


@job
def a_source_without_timestamps_gives_none(server: str) -> Any:
    """Flink's new sources put the least long where there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        print('{"user": "ann"}', file=file, flush=True)
        lines = FileSource.for_record_stream_format(StreamFormat.text_line_format(), Path(file.name).as_uri()).build()
        stream = environment().from_source(lines, WatermarkStrategy.no_watermarks(), "lines")
        witness = ActionServer(server).agent("witness")
        return parsed(witness.apply(stream, key_by="user", input_type="json").outputs)


@job
def records_that_are_no_json_in_one_job_after_the_other(server: str) -> Any:
    """Each job has classes of its own by the same names."""

    def raised() -> str:
        stream = environment().from_collection(["{'user': 'ann'}"], type_info=Types.STRING())
        try:
            return str(ran_into(ActionServer(server), stream, key_by="user", input_type="json"))
        except ActionJobError as error:
            return type(error).__name__

    return [raised() for _ in range(2)]


@job
def a_pickled_stream_without_consent(server: str) -> Any:
    stream = environment().from_collection([{"any": "object"}])
    keyed = stream.key_by(lambda value: "k", key_type=Types.STRING())
    ActionServer(server).agent("echo").apply(keyed)


@job
def a_pickled_stream_with_the_consent_of_one_side(server: str) -> Any:
    stream = environment().from_collection([{"any": "object"}])
    keyed = stream.key_by(lambda value: "k", key_type=Types.STRING())
    ran_into(ActionServer(server, allow_pickle=True), keyed)


@job
def a_pickled_key(server: str) -> Any:
    ActionServer(server).agent("echo").apply(orders(environment()).key_by(lambda row: row[0]))


@job
def a_server_that_is_not_there(server: str) -> Any:
    started = time.monotonic()
    nowhere = ActionServer("localhost:1", reconnect_timeout=2)
    try:
        ran_into(nowhere, orders(environment()), key_by="customer")
    finally:
        assert time.monotonic() - started > 2, "the job did not wait for its server"


@job
def a_launched_agent_that_does_not_load(server: str) -> Any:
    ran_into(launched("ecko"), orders(environment()), key_by="customer")


@job
def a_store_whose_brokers_are_not_there(server: str) -> Any:
    store = KafkaStore("localhost:1", "calls", timeout=1, properties={"client.rack": "a"})
    ran_into(ActionServer(server, action_state_store=store), orders(environment()), key_by="customer")


@job
def a_store_without_a_topic(server: str) -> Any:
    ActionServer(server, action_state_store=KafkaStore("localhost:1"), ignore_store=True).agent("echo").apply(
        orders(environment()), key_by="customer"
    )


@job
def an_agent_that_the_server_does_not_have(server: str) -> Any:
    ran_into(ActionServer(server), orders(environment()), agent="ecko", key_by="customer")


@job
def an_action_that_raises(server: str) -> Any:
    ran_into(ActionServer(server), orders(environment()), agent="failing", key_by="customer")


@job
def a_failure_without_a_policy_is_dead_lettered_by_the_jobs_default(server: str) -> Any:
    waits = Backoff(0.01, multiplier=1.5, max_seconds=1, jitter=0)
    policy = FailurePolicy("dead_letter", max_attempts=3, backoff=waits)
    lenient = ActionServer(server, default_failure_policy=policy)
    streams = lenient.agent("failing").apply(orders(environment()), key_by="customer")
    return [json.loads(letter)["attempts"] for letter in collected(streams.dead_letters)]


@job
def a_default_policy_that_cannot_be(server: str) -> Any:
    FailurePolicy(backoff=Backoff(jitter=2))


def said(make: Callable[..., Any] = FailurePolicy, *given: Any, **wrong: Any) -> str:
    try:
        return repr(make(*given, **wrong))
    except OptionError as error:
        return str(error)


@job
def what_is_said_of_arguments_that_cannot_be(server: str) -> Any:
    stream = orders(environment())
    return [
        said(ActionServer, config={"model": object()}),
        said(ActionServer, config={"rate": float("nan")}),
        said(ActionServer, config={5: "five"}),
        said(ActionServer, waiting_inputs=5),
        said(ActionServer(server).agent("echo").apply, stream, key_by="customer", uid=""),
    ]


@job
def what_is_said_of_default_policies_that_cannot_be(server: str) -> Any:
    return [
        said(on_failure="retry"),
        said(on_failure="drop"),
        said(max_attempts=0),
        said(max_attempts=True),
        said(backoff="1 s"),
        said(backoff=-1),
        said(ActionServer, default_failure_policy="dead_letter"),
    ]


@job
def a_default_policy_of_the_configuration_that_cannot_be(server: str) -> Any:
    env = StreamExecutionEnvironment.get_execution_environment(
        Configuration().set_string("agent.default-failure-policy.on-failure", "retry")
    )
    ActionServer(server).agent("echo").apply(orders(env), key_by="customer")


@job
def an_output_of_another_type_than_declared(server: str) -> Any:
    ran_into(ActionServer(server), orders(environment()), key_by="customer", output_type="string")


@job
def a_setting_that_cannot_be_read(server: str) -> Any:
    ActionServer(server, reconnect_timeout="soon").agent("echo").apply(orders(environment()), key_by="customer")


@job
def a_policy_that_there_is_not(server: str) -> Any:
    ActionServer(server, missing_action="retry").agent("echo").apply(orders(environment()), key_by="customer")


@job
def a_way_to_renew_memory_that_there_is_not(server: str) -> Any:
    wrong = ActionServer(server, short_term_memory_ttl=5, short_term_memory_ttl_update="ON_READ")
    wrong.agent("echo").apply(orders(environment()), key_by="customer")


@job
def a_visibility_of_memory_that_there_is_not(server: str) -> Any:
    wrong = ActionServer(server, short_term_memory_ttl=5, short_term_memory_ttl_visibility="NEVER")
    wrong.agent("echo").apply(orders(environment()), key_by="customer")


@contextmanager
def a_line_more_in_the_file(setting: str) -> Iterator[None]:
    """At its end, in the section `agent:`."""
    file = Path(os.environ["FLINK_CONF_DIR"]) / "config.yaml"
    right = file.read_text()
    file.write_text(f"{right}  {setting}\n")
    try:
        yield
    finally:
        file.write_text(right)


@job
def a_setting_of_the_file_that_cannot_be_read(server: str) -> Any:
    with a_line_more_in_the_file("drain-limit: a while"):
        ActionServer().agent("echo").apply(orders(environment()), key_by="customer")


@job
def a_limit_of_the_file_that_cannot_be(server: str) -> Any:
    with a_line_more_in_the_file("max-runs-in-flight: 0"):
        ActionServer().agent("echo").apply(orders(environment()), key_by="customer")


@job
def an_address_without_a_port(server: str) -> Any:
    ActionServer("localhost")


@job
def a_jar_that_is_not_there(server: str) -> Any:
    # Another class loader would be needed to forget the class; the search for the jar is what can be asked again.
    from pyflink_actions._operator_jar import OVERRIDE, find_operator_jar

    os.environ[OVERRIDE] = "/nowhere/operator.jar"
    try:
        find_operator_jar()
    finally:
        del os.environ[OVERRIDE]


def ran_into(server: ActionServer, stream: DataStream, agent: str = "echo", **call: Any) -> None:
    """Run the job to its failure."""
    env = stream.get_execution_environment()
    server.agent(agent).apply(stream, **call).outputs.print()
    with typed_job_errors():
        env.execute()


def main() -> None:
    address, results_file = sys.argv[1], Path(sys.argv[3])
    results: dict[str, Any] = {}
    for name, run in JOBS.items():
        print(name, flush=True)
        try:
            results[name] = {"result": run(address)}
        except Exception as error:
            results[name] = {"error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
    results_file.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
