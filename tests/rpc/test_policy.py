# SPDX-License-Identifier: ISC
"""Goal: SetPolicy and GetPolicy: what a change takes over, who made it when, and that nobody
overwrites a change unseen."""
import json
import threading

import grpc
import pytest

from kit import T0, at, fresh, invalid, pb, refused, seconds

# Every field that can be set: a value that is not the default, and the default.
FIELDS = {
    "enabled": (True, False),
    "mobile": (True, False),
    "suspended_until": (at(T0 + 12_345), at(0)),
    "suspended_reason": ("the move", ""),
    "issuer": ("Example Übersicht", None),  # the tenant's id
    "algorithm": (pb.ALGORITHM_SHA512, pb.ALGORITHM_SHA1),
    "digits": (8, 6),
    "period": (seconds(60), seconds(30)),
    "window_steps": (0, 1),
    "enrollment_lifetime": (seconds(60), seconds(600)),
    "reset_lifetime": (seconds(300), seconds(3600)),
    "reset_link": ("https://crm.example/reset?token={token}", ""),
    "mail_from": ("crm@example.com", ""),
    "mail_from_name": ("The CRM", ""),
    "locale": ("nl", "en"),
}
CHANGED = {name: values[0] for name, values in FIELDS.items()}


def default(name, tenant):
    return tenant if name == "issuer" else FIELDS[name][1]


def check(policy, changed, tenant):
    """The named fields have their changed values, all others the defaults."""
    for name, (other, _) in FIELDS.items():
        assert getattr(policy, name) == (other if name in changed else default(name, tenant)), name


def test_a_tenant_without_a_policy_reads_as_the_defaults(service):
    tenant = fresh()
    policy = service.api.get_policy(tenant)
    assert (policy.tenant_id, policy.revision, policy.updated_by) == (tenant, 0, "")
    assert not policy.HasField("update_time") and not policy.HasField("suspended_until")
    check(policy, (), tenant)


@pytest.mark.parametrize("name", FIELDS)
def test_without_a_mask_what_is_set_is_taken_over(service, name):
    tenant = fresh()
    policy = service.api.set_policy(tenant, **{name: CHANGED[name]})
    check(policy, {name}, tenant)
    assert service.api.get_policy(tenant) == policy


@pytest.mark.parametrize("name", FIELDS)
def test_with_a_mask_only_what_it_names_is_taken_over(service, name):
    tenant = fresh()
    check(service.api.set_policy(tenant, mask=[name], **CHANGED), {name}, tenant)


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_mask_names_and_is_not_set_gets_its_default(service, name):
    tenant = fresh()
    check(service.api.set_policy(tenant, **CHANGED), FIELDS, tenant)
    policy = service.api.set_policy(tenant, mask=[name])
    check(policy, FIELDS.keys() - {name}, tenant)
    assert service.api.get_policy(tenant) == policy


def test_a_star_names_every_field(service):
    tenant = fresh()
    check(service.api.set_policy(tenant, mask=["*"], **CHANGED), FIELDS, tenant)
    check(service.api.set_policy(tenant, mask=["*"], enabled=True), {"enabled"}, tenant)


def test_an_empty_mask_is_none(service):
    tenant = fresh()
    check(service.api.set_policy(tenant, mask=[], mobile=True), {"mobile"}, tenant)


@pytest.mark.parametrize("mask", [["tenant_id"], ["revision"], ["update_time"], ["updated_by"],
                                  ["nothing"], [""], ["policy.enabled"], ["enabled", "ENABLED"]])
def test_a_mask_names_fields_that_can_be_set(service, mask):
    tenant = fresh()
    with invalid():
        service.api.set_policy(tenant, mask=mask, enabled=True)
    assert service.api.get_policy(tenant).revision == 0


def test_a_change_of_nothing_is_refused(service):
    with invalid("update_mask"):
        service.api.set_policy(fresh())
    with invalid("policy"):
        service.api.call("SetPolicy", pb.SetPolicyRequest())


def test_what_the_service_sets_cannot_be_set(service):
    tenant = fresh()
    policy = service.api.set_policy(tenant, enabled=True, revision=41, updated_by="me",
                                    update_time=at(1))
    assert (policy.revision, policy.updated_by) == (1, "local")
    assert policy.update_time == at(service.now)


def test_revisions_count_from_one_and_name_author_and_time(daemon):
    for n in range(1, 4):
        daemon.advance(1)
        policy = daemon.api.set_policy("crm", window_steps=n % 3, on_behalf_of="ann@crm",
                                       reason="because")
        assert (policy.revision, policy.updated_by) == (n, "local/ann@crm")
        assert policy.update_time == at(T0 + n * 1000)
    daemon.restart()
    assert daemon.api.get_policy("crm") == policy


def test_a_change_of_an_old_revision_is_aborted(service):
    tenant = fresh()
    with refused(grpc.StatusCode.ABORTED, "REVISION_CHANGED"):
        service.api.set_policy(tenant, enabled=True, expected_revision=1)
    service.api.set_policy(tenant, enabled=True)
    service.api.set_policy(tenant, mobile=True, expected_revision=1)
    with refused(grpc.StatusCode.ABORTED, "REVISION_CHANGED"):
        service.api.set_policy(tenant, mobile=False, expected_revision=1)
    with invalid("expected_revision"):
        service.api.set_policy(tenant, mobile=False, expected_revision=-1)
    policy = service.api.get_policy(tenant)
    assert (policy.revision, policy.mobile) == (2, True)


def test_of_parallel_changes_of_one_revision_one_wins(service):
    for expected in range(1, 21):
        tenant = "race"
        if expected == 1:
            service.api.set_policy(tenant, enabled=True)
        won = []

        def change(caller, n):
            try:
                caller.set_policy(tenant, expected_revision=expected, suspended_reason=str(n))
                won.append(n)
            except grpc.RpcError as e:
                assert e.code() == grpc.StatusCode.ABORTED
        threads = [threading.Thread(target=change, args=(service.api, n)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(won) == 1
        policy = service.api.get_policy(tenant)
        assert (policy.revision, policy.suspended_reason) == (expected + 1, str(won[0]))


def test_the_change_is_in_the_audit_log(daemon):
    daemon.api.set_policy("crm", enabled=True, digits=8, reason="ticket 7", on_behalf_of="ann")
    daemon.stop()
    [body] = daemon.audit_bodies()
    record = json.loads(body)
    assert json.loads(record.pop("change")) == {"enabled": True, "digits": 8}
    assert record == {"time": "2027-01-15T08:00:00.000Z", "action": "policy_set", "tenant": "crm",
                      "caller": "local", "on_behalf_of": "ann", "outcome": "on",
                      "reason": "ticket 7", "number": 1}
