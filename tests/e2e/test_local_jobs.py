"""`python job.py`: each job of local_jobs.py runs on a MiniCluster against a real server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.certificates import needs_openssl

pytestmark = pytest.mark.timeout(500)  # the first test waits for all of the jobs

Jobs = dict[str, Any]


def result(jobs: Jobs, name: str) -> Any:
    assert "result" in jobs[name], jobs[name]["trace"]
    return jobs[name]["result"]


def witnessed(jobs: Jobs, name: str) -> list[tuple[str, Any, int]]:
    return [(told["input"], told["key"], told["seen"]) for told in result(jobs, name)]


ORDERS_OF_ANN = [
    ("{'customer': 'ann', 'number': 1, 'amount': 0.5}", "ann", 0),
    ("{'customer': 'ann', 'number': 3, 'amount': 2.5}", "ann", 1),
]


def of_ann(told: list[tuple[str, Any, int]]) -> list[tuple[str, Any, int]]:
    return [one for one in told if one[1] == "ann"]


def test_rows_become_dicts_and_short_term_memory_counts_per_key(local_jobs: Jobs) -> None:
    told = witnessed(local_jobs, "rows_become_dicts_and_short_term_memory_counts_per_key")
    assert of_ann(told) == ORDERS_OF_ANN
    assert len(told) == 3


def test_rows_come_back_as_rows_with_every_value_they_had(local_jobs: Jobs) -> None:
    values = result(local_jobs, "rows_come_back_as_rows")
    assert {name: got for name, (_, got) in values.items()} == {name: sent for name, (sent, _) in values.items()}


def test_rows_nested_rows_and_nulls_keep_names_types_and_values(local_jobs: Jobs) -> None:
    visits = result(local_jobs, "rows_reach_agents_as_rows_and_as_a_dataclass_and_come_back_as_rows")
    assert visits["got"] == visits["expected"]


def test_json_goes_in_as_it_is_and_comes_out_as_text(local_jobs: Jobs) -> None:
    texts = sorted(result(local_jobs, "json_passes_untouched"))
    assert texts == ['{"user":"ann","n":1}', '{"user":"bob","n":2}']


def test_a_stream_keyed_in_python_keeps_its_key(local_jobs: Jobs) -> None:
    told = witnessed(local_jobs, "a_stream_keyed_in_python_keeps_its_key")
    assert [(key, seen) for _, key, seen in told] == [(23, 0), (23, 1)]


def test_strings_come_back_as_strings(local_jobs: Jobs) -> None:
    assert sorted(result(local_jobs, "strings_come_back_as_strings")) == ["eins", "zwei"]


def test_bytes_come_back_as_bytes(local_jobs: Jobs) -> None:
    sent = [b'\x00\xff{"user": "ann", "n": 1}', b'\x00\xff{"user": "bob", "n": 2}']
    assert sorted(result(local_jobs, "bytes_come_back_as_bytes")) == [value.hex() for value in sent]


def test_outputs_become_python_objects(local_jobs: Jobs) -> None:
    ((got, sent),) = result(local_jobs, "outputs_become_python_objects")
    assert got == sent


def test_pickled_inputs_travel_with_the_consent_of_both_sides(local_jobs: Jobs) -> None:
    outputs = result(local_jobs, "pickled_inputs_travel_with_the_consent_of_both_sides")
    assert sorted(outputs, key=repr) == [{"tuple": [1, 2]}, {"when": "2024-02-29"}]


def test_actions_see_the_timestamp_and_outputs_carry_it(local_jobs: Jobs) -> None:
    assert sorted(result(local_jobs, "timestamps_are_kept")) == [[1000, 1000], [2000, 2000], [3000, 3000]]


def test_an_action_sees_no_timestamp_where_the_source_gives_none(local_jobs: Jobs) -> None:
    assert [seen["timestamp"] for seen in result(local_jobs, "a_source_without_timestamps_gives_none")] == [None]


def test_batch_gives_what_streaming_gives(local_jobs: Jobs) -> None:
    streamed = witnessed(local_jobs, "rows_become_dicts_and_short_term_memory_counts_per_key")
    assert sorted(witnessed(local_jobs, "batch_gives_what_streaming_gives")) == sorted(streamed)


def test_agents_read_the_jobs_configuration(local_jobs: Jobs) -> None:
    told = result(local_jobs, "agents_read_the_jobs_configuration")
    assert [one["greeting"] for one in told] == [{"deep": [1]}] * 3


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("server_and_limit_come_from_the_file", 1000),
        ("the_commands_options_beat_the_file", 500),
        ("code_beats_the_file", 100),
    ],
)
def test_settings_come_from_the_file_the_command_and_the_code_the_later_wins(
    local_jobs: Jobs, name: str, limit: int
) -> None:
    told = result(local_jobs, name)
    assert len(told) == 3
    assert all(limit - 60 < one["seconds_left"] <= limit for one in told), told


@needs_openssl
def test_a_job_reaches_a_server_that_asks_for_certificates_and_a_token(local_jobs: Jobs) -> None:
    outputs = result(local_jobs, "a_server_with_certificates_and_a_token_is_reached_with_them")
    assert sorted(one["number"] for one in outputs) == [1, 2, 3]


def test_one_job_may_have_two_agents(local_jobs: Jobs) -> None:
    assert of_ann(witnessed(local_jobs, "one_job_may_have_two_agents")) == ORDERS_OF_ANN


def test_what_an_agent_receives_and_sends_is_a_stream_if_the_job_asks_for_it(local_jobs: Jobs) -> None:
    events, none = result(local_jobs, "events_come_as_a_stream")
    assert none is None
    of_bob = [event for event in events if event["key"] == "bob"]
    order = {"customer": "bob", "number": 2, "amount": 1.5}
    assert [event["attributes"] for event in of_bob] == [{"input": order}, {"output": order}]
    assert of_bob[1]["upstream_event_id"] == of_bob[0]["id"]


def test_a_job_may_launch_its_server(local_jobs: Jobs) -> None:
    assert sorted(one["number"] for one in result(local_jobs, "a_job_may_launch_its_server")) == [1, 2, 3]


def test_the_jobs_default_holds_for_actions_that_state_no_failure_policy(local_jobs: Jobs) -> None:
    attempts = result(local_jobs, "a_failure_without_a_policy_is_dead_lettered_by_the_jobs_default")
    assert attempts == [3, 3, 3]


def test_a_default_policy_that_cannot_be_is_refused_by_field_value_and_way_out(local_jobs: Jobs) -> None:
    said = result(local_jobs, "what_is_said_of_default_policies_that_cannot_be")
    assert [text.partition(":")[0].partition(";")[0] for text in said] == [
        "FailurePolicy.on_failure is 'retry'",
        "FailurePolicy.on_failure is 'drop'",
        "FailurePolicy.max_attempts is 0",
        "FailurePolicy.max_attempts is True",
        "FailurePolicy.backoff is '1 s'",
        "FailurePolicy.backoff is -1",
        "default_failure_policy is 'dead_letter'",
    ]
    assert "max_attempts says how often" in said[0]


def test_an_argument_that_cannot_be_is_refused_by_name_value_and_way_out(local_jobs: Jobs) -> None:
    model, rate, key, limits, uid = result(local_jobs, "what_is_said_of_arguments_that_cannot_be")
    assert "config['model'] is <object object" in model
    assert "JSON" in model
    assert "config['rate'] is nan" in rate
    assert "config has the key 5" in key
    assert "waiting_inputs is 5; give two numbers of bytes" in limits
    assert "uid is empty" in uid


def test_the_buffer_timeout_is_low_unless_the_job_says_otherwise(local_jobs: Jobs) -> None:
    assert result(local_jobs, "the_buffer_timeout_is_low_unless_the_job_says_otherwise") == [0, 100]


def test_keys_that_may_be_mistaken_are_told_once(local_jobs: Jobs) -> None:
    threads, timeout = result(local_jobs, "keys_that_may_be_mistaken_are_told_once")
    assert "agent.num-async-threads" in threads
    assert "--threads" in threads
    assert "agent.reconect-timeout" in timeout
    assert "agent.reconnect-timeout" in timeout


def test_the_error_of_a_second_job_in_a_process_has_a_type_too(local_jobs: Jobs) -> None:
    assert result(local_jobs, "records_that_are_no_json_in_one_job_after_the_other") == ["RecordTypeError"] * 2


@pytest.mark.parametrize(
    ("name", "error", "named"),
    [
        ("a_table", "RecordTypeError", ["t_env.to_data_stream(table)"]),
        ("an_unknown_key_field", "KeyFieldError", ["'custmer'", "[customer, number, amount]"]),
        ("an_unknown_key_field_of_json", "KeyFieldError", ["'usr'", "[user, n]"]),
        ("a_pickled_stream_without_consent", "RecordTypeError", ["allow_pickle=True", "--allow-pickle"]),
        ("a_pickled_stream_with_the_consent_of_one_side", "ServerError", ["--allow-pickle"]),
        ("a_pickled_key", "KeyFieldError", ["key_type"]),
        ("a_server_that_is_not_there", "ServerError", ["localhost:1", "flink-actions serve"]),
        ("a_launched_agent_that_does_not_load", "ServerError", ["agents.py", "'ecko'"]),
        ("a_store_whose_brokers_are_not_there", "ActionStateStoreError", ["localhost:1", "action-state-store.timeout"]),
        ("a_store_without_a_topic", "OptionError", ["agent.kafkaActionStateTopic"]),
        ("an_agent_that_the_server_does_not_have", "ServerError", ["ecko", "echo"]),
        ("an_action_that_raises", "ActionFailedError", ["ValueError: nothing to be done with", "agents.py", "ann"]),
        ("an_output_of_another_type_than_declared", "ActionFailedError", ["a string was declared"]),
        ("a_setting_that_cannot_be_read", "OptionError", ["reconnect-timeout", "'soon'"]),
        (
            "a_policy_that_there_is_not",
            "OptionError",
            ["agent.missing-action", "'retry'", "fail or dead_letter or ignore"],
        ),
        ("a_default_policy_that_cannot_be", "OptionError", ["Backoff.jitter is 2", "from 0 to 1"]),
        (
            "a_default_policy_of_the_configuration_that_cannot_be",
            "OptionError",
            ["agent.default-failure-policy.on-failure is 'retry'", "default-failure-policy.max-attempts above 1"],
        ),
        (
            "a_way_to_renew_memory_that_there_is_not",
            "OptionError",
            ["'ON_READ'", "ON_CREATE_AND_WRITE or ON_READ_AND_"],
        ),
        (
            "a_visibility_of_memory_that_there_is_not",
            "OptionError",
            ["state-ttl.visibility is 'NEVER'", "NEVER_RETURN_"],
        ),
        ("a_setting_of_the_file_that_cannot_be_read", "OptionError", ["agent.drain-limit", "'a while'", "'30 s'"]),
        ("a_limit_of_the_file_that_cannot_be", "OptionError", ["max-runs-in-flight is 0", "above 0"]),
        ("an_address_without_a_port", "OptionError", ["'localhost'", "'localhost:7077'", "unix:/path"]),
        ("a_jar_that_is_not_there", "OperatorJarError", ["/nowhere/operator.jar"]),
    ],
)
def test_what_goes_wrong_has_a_type_and_names_thing_and_way_out(
    local_jobs: Jobs, name: str, error: str, named: list[str]
) -> None:
    outcome = local_jobs[name]
    assert outcome.get("error") == error, outcome
    for word in named:
        assert word in outcome["message"]
