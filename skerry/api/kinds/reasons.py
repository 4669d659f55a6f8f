"""What events of each kind mean, for docs/events.md: their reasons are literals in what describes changes, and a test compares."""

from __future__ import annotations

_GAP = {"Gap": "earlier writes were not seen, and are not kept any more"}
_ANY = {
    "Created": "it was made",
    "Changed": "what is wanted of it was changed",
    "Deleting": "its deletion was asked for, and waits for something",
    "Deleted": "it is gone",
}
REASONS: dict[str, dict[str, str]] = {
    "Cluster": {
        "HostClaimed": "the host itself was registered",
        "Joined": "a member joined",
        "Approved": "a member that waited was let in",
        "ApprovalPending": "a member waits for approval",
        "ApprovalDenied": "a member was turned away",
        "TakenOver": "a member was taken over from another host",
        "Ready": "requests reach it",
        "NotReady": "requests do not reach it any more; the message has the reason",
        "Flapping": "it is ready and not ready in turns",
        "Stable": "it does not flap any more",
        "CredentialsExpireSoon": "the host's credential for it ends in 30, 7 or 1 days",
        "CredentialsExpired": "that credential ended",
        "CredentialsRefused": "its API server refuses that credential",
        "CredentialsValid": "that credential is good again",
        "CredentialsReplaced": "the host was given another credential for it",
        "CertificateExpiresSoon": "its API server's certificate ends soon",
        "CertificateExpired": "that certificate ended",
        "CertificateValid": "that certificate is good again",
        "ClockBehind": "its clock is behind the host's",
        "ClockAhead": "its clock is ahead of the host's",
        "ClockSynced": "its clock is right again",
        "KubernetesTooOld": "its Kubernetes is too old",
        "AgentTooOld": "its agent is too old",
        "AgentTooNew": "its agent is newer than this host knows",
        "VersionSupported": "its versions are supported again",
        "RightsRepaired": "rights of Skerry's account that were taken away were put back",
        "RightsMissing": "rights of Skerry's account are missing",
        "CeilingChanged": "its own administrator changed what the host may do",
        "Paused": "what the host wants is not applied on it",
        "Resumed": "it is applied again",
        "Cordoned": "nothing new is placed on it",
        "Uncordoned": "new things may be placed on it again",
        "DesiredProblems": "something that the host wants cannot be applied",
        "DesiredApplied": "everything that the host wants is applied again",
        "DriftRepaired": "what somebody changed of it on the member was put right",
        "RekeyRequested": "its agents are to get other keys",
        "AgentRekeyed": "an agent got itself another key",
        "Rekeyed": "its agents have other keys",
        "AgentRevoked": "one of its agents was revoked",
        "Removing": "its removal was asked for",
        "StreamsCut": "live requests ended with its removal",
        "Cleaned": "what the host had put on it was taken away",
        "LeftOnCluster": "something of the host's stays on it",
        "Removed": "it is gone",
    },
    "JoinToken": {"Used": "a cluster joined with it", "Flooded": "it was revoked: somebody flooded the host with it"},
    "AppStore": {},
    "AppRepository": {**_ANY, "ContentChanged": "other charts are in it"},
    "AppVersion": {"Deleted": "it is gone"},
    "AppRelease": {**_ANY, "UpdateAvailable": "there is a newer version"},
    "AppInstance": {},
    "AccessRequest": {
        **_ANY,
        "Requested": "somebody asks for access",
        "ApprovedBy": "somebody approved it",
        "EndsSoon": "what was given ends soon",
    },
    "EventSink": {"Created": "events are sent to it", "Removed": "nothing is sent to it any more"},
}
"""By kind; of others what `_ANY` says."""
CONDITIONS: dict[str, str] = {
    "AppStore": "the reasons of its conditions Usable, HelmReady and Truncated",
    "AppRepository": "the reasons of its condition Ready",
    "AppVersion": "the states of its review, the reasons of its conditions Upstream and Checked",
    "AppRelease": "the reasons of its conditions Accepted and Ready",
    "AppInstance": "its phases",
    "AccessRequest": "its states",
    "AccessGrant": "the reasons of its condition Enforced",
    "Workspace": "the reasons of its condition Ready",
    "EventSink": "the reasons of its condition Ready",
    "IdentityProvider": "the reasons of its condition Ready",
}
"""What the reasons of more events are, which are as many as a status has."""


def reasons_of(kind: str) -> dict[str, str]:
    """Those of a kind, with what each means."""
    return {**REASONS.get(kind, _ANY), **_GAP}
