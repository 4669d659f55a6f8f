"""The grammar of names in Kubernetes: labels, subdomains, keys and values of labels (RFC 1123, apimachinery). Pure.

The patterns and sentences are those of k8s.io/apimachinery (pkg/util/validation), which quotes its patterns in errors: so
none of them bounds the length, and none is anchored. Match them whole, and compare the length besides.
"""

from __future__ import annotations

import re

LONGEST_LABEL = 63
"""Characters of a DNS label, of the name part of a label's key, and of a label's value."""
LONGEST_SUBDOMAIN = 253
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""A DNS label: names of clusters, namespaces, workspaces."""
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
"""Names of most kinds, and the part of a label's key before the slash."""
QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
"""The name part of a label's key."""
LABEL_VALUE = rf"({QUALIFIED})?"

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{LABEL_VALUE}')"
)

_LABEL, _SUBDOMAIN = re.compile(LABEL), re.compile(SUBDOMAIN)
_QUALIFIED, _VALUE = re.compile(QUALIFIED), re.compile(LABEL_VALUE)


def is_label(name: str) -> bool:
    """True if `name` is a DNS label."""
    return len(name) <= LONGEST_LABEL and _LABEL.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    """True if `name` is a DNS subdomain."""
    return len(name) <= LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(name) is not None


def is_qualified(name: str) -> bool:
    """True if `name` has the characters of the name part of a label's key, however many."""
    return _QUALIFIED.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    """True if `value` has the characters of a label's value, however many."""
    return _VALUE.fullmatch(value) is not None
