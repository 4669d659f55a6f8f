"""What a request to a member is called; how it is carried is in test_front.py and test_relay.py."""

from __future__ import annotations

import uuid

from services.proxy.members.requests import audit_id


def test_an_audit_id_is_a_random_uuid_in_its_usual_form() -> None:
    made = [audit_id() for _ in range(50)]
    for text in made:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(made)) == 50
