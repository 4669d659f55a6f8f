"""What the chassis does with bad input, as a table: what it is, and the tests that fail without the rule.

What is declared wrongly does not start, and says which service, kind or setting; what fails at run time is seen by its name,
and takes nothing else with it.
"""

from __future__ import annotations

import pytest

from tests.test_rules import TESTS, functions

REFUSED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # declared wrongly: at import, or by `make check`
    ("a kind declared twice, or with a name of another", "api/kinds/test_catalog.py",
     ("test_a_kind_is_declared_once", "test_no_kind_has_a_name_of_another")),
    ("an action without types, declared twice, or with a verb that there is not", "api/kinds/test_action.py",
     ("test_what_cannot",)),
    ("a column or selectable field that the Struct has not", "api/kinds/test_kind.py",
     ("test_what_cannot_be_served_is_refused",)),
    ("an action without a handler, or a handler without an action", "admission/test_actions.py",
     ("test_every_declared_action_is_answered_and_no_other",)),
    ("rules for a kind of another service", "service/test_process.py",
     ("test_rules_for_a_kind_of_another_service_are_refused_by_name",)),
    ("admission to an endpoint that is not there", "service/test_process.py",
     ("test_admission_to_an_endpoint_that_it_does_not_answer_is_refused_by_name",)),
    ("an endpoint without types, or one that takes a write", "service/test_endpoints.py",
     ("test_a_missing_type_is_named", "test_a_write_is_no_endpoint_of_its_own_because_its_caller_would_be_believed")),
    ("a kind outside `needs`: by its line, and when it is read", "test_boundaries.py",
     ("test_a_kind_outside_needs_is_told_by_kind_service_and_line",)),
    ("the same, when it is read", "informer/test_view.py",
     ("test_a_kind_that_a_service_does_not_name_is_refused_by_kind_and_service",)),
    ("an endpoint that nobody offers, a bucket of another", "test_boundaries.py",
     ("test_an_endpoint_or_bucket_that_is_not_in_its_row_is_told",)),
    ("the same, when it is tried", "identity/test_services.py",
     ("test_every_call_is_answered_by_one_service", "test_are_asked_by_who_is_listed", "test_are_read_by_who_is_listed")),
    # set wrongly: exit code 2 and which
    ("an unknown setting, or one that two services declare", "service/test_run.py",
     ("test_an_unknown_setting_ends_the_process_with_its_name",
      "test_a_setting_that_two_services_declare_ends_the_process_with_both_names")),
    # failing at run time: readiness, log and metrics
    ("a service that fails at its start", "service/test_process.py",
     ("test_a_service_that_fails_at_its_start_is_named_and_tried_again_beside_one_that_serves",)),
    ("a reconcile that always raises", "service/test_process.py",
     ("test_a_reconcile_that_always_raises_is_in_readiness_log_and_metrics_and_stops_nothing_else",)),
    ("a key that never ends", "service/test_process.py",
     ("test_a_key_that_never_ends_is_in_readiness_and_metrics_and_stops_nothing_else",)),
    ("a lease holder that slept and wakes", "service/test_run.py",
     ("test_a_leader_that_was_stopped_for_longer_than_its_lease_writes_nothing_when_it_wakes",)),
    # asked wrongly
    ("an unsigned, foreign, expired or used caller: 401, logged once a minute", "admission/test_callers.py",
     ("test_an_unsigned_write_is_refused", "test_what_another_host_or_an_uncertified_key_signed_is_refused",
      "test_an_expired_or_early_one_is_refused", "test_a_retargeted_one_is_refused",
      "test_refusals_are_logged_and_told_once_a_minute_for_each_reason")),
    ("what is no request of its type", "service/test_endpoints.py",
     ("test_what_is_not_a_request_is_refused_by_its_name",)),
)  # fmt: skip


@pytest.mark.parametrize(("what", "module", "names"), REFUSED, ids=[each[0] for each in REFUSED])
def test_each_has_a_test(what: str, module: str, names: tuple[str, ...]) -> None:
    assert set(names) <= functions(TESTS / module)
