"""What can go wrong in a job, as Python exceptions.

ActionJobError
├── OperatorJarError     the operator's jar is not where it should be
├── OptionError          a setting that cannot be read, or is out of range
├── RecordTypeError      a stream's type, or one of its records, has no form on the other side
│   └── KeyFieldError    a key field that a record does not have, or whose value cannot be a key
├── ServerError          no server at the address, one that does not take this job (unknown agent, other protocol
│                        version, ...), or one that was to be launched and does not start
├── ActionStateStoreError  no brokers of the action state store, or a topic that is of no use
└── ActionFailedError    an action failed, and its policy is to fail the job
"""


class ActionJobError(Exception):
    """Base of all errors of this package. The message names the thing, the value and the way out."""


class OperatorJarError(ActionJobError):
    """The operator's jar is not where it should be."""


class OptionError(ActionJobError, ValueError):
    """A setting that cannot be read, or is out of range."""


class RecordTypeError(ActionJobError):
    """A stream's type, or one of its records, has no form on the other side."""


class KeyFieldError(RecordTypeError):
    """A key field that a record does not have, or whose value cannot be a key."""


class ServerError(ActionJobError):
    """No server at the address, one that does not take this job, or one that was to be launched and does not start."""


class ActionStateStoreError(ActionJobError):
    """The brokers of the action state store are away, or its topic is of no use to this job."""


class ActionFailedError(ActionJobError):
    """An action failed, and its policy is to fail the job. The message carries the Python stack."""
