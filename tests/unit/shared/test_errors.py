"""The error tree: whose fault, and which name on the wire."""

from __future__ import annotations

import pytest

from zeropool.shared import errors


def every_error():
    return [error for error in vars(errors).values() if isinstance(error, type)]


@pytest.mark.parametrize(
    ("error", "branch", "wire_name"),
    [
        (errors.UnknownMethod, errors.CallerError, "NameError"),
        (errors.UnknownName, errors.CallerError, "KeyError"),
        (errors.WrongArguments, errors.CallerError, "TypeError"),
        (errors.UnknownModel, errors.CallerError, "ValueError"),
        (errors.InvalidInput, errors.CallerError, "MLModelSchemaValidationException"),
        (errors.PayloadTooLarge, errors.CallerError, "PayloadTooLarge"),
        (errors.WorkerLost, errors.ServerError, "WorkerLost"),
        (errors.UnusableOutput, errors.ServerError, "TypeError"),
        (errors.Overloaded, errors.CapacityError, "Overloaded"),
        (errors.DeadlineExceeded, errors.CapacityError, "DeadlineExceeded"),
        (errors.Draining, errors.CapacityError, "Draining"),
        (errors.ConfigError, errors.ZeropoolError, "ConfigError"),
        (errors.ModelRefused, errors.ZeropoolError, "ModelRefused"),
        (errors.ProtocolError, errors.ZeropoolError, "ProtocolError"),
    ],
)
def test_an_error_says_whose_fault_it_is_and_its_name_on_the_wire(error, branch, wire_name):
    assert error.__bases__ == (branch,)
    assert error.wire_name == wire_name


def test_every_error_has_one_root_and_says_what_it_means():
    for error in every_error():
        assert issubclass(error, errors.ZeropoolError)
        assert error.__doc__


def test_an_error_keeps_its_message():
    assert (
        str(errors.Overloaded("queue full; retry_after_s=0.5")) == "queue full; retry_after_s=0.5"
    )
