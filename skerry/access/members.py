"""Who is a member of which Workspace, with which roles: what they have on the host, whatever clusters there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skerry.access.holdings import by_role, keys_of
from skerry.api.grants import WorkspaceMember
from skerry.api.messages import Caller

Roles = frozenset[str]
_NONE: Roles = frozenset()


class Members:
    """Members of workspaces by name, and the other way round."""

    def __init__(self) -> None:
        self._roles: dict[str, dict[str, Roles]] = {}
        """By workspace and subject."""
        self._workspaces: dict[str, dict[str, None]] = {}
        """By subject."""

    def put(self, workspace: str, members: Iterable[WorkspaceMember]) -> frozenset[str]:
        """These are its members now: the subjects whose roles are others than before."""
        before, after = self._roles.get(workspace, {}), _roles(members)
        for subject in before.keys() - after.keys():
            del self._workspaces[subject][workspace]
            if not self._workspaces[subject]:
                del self._workspaces[subject]
        for subject in after.keys() - before.keys():
            self._workspaces.setdefault(subject, {})[workspace] = None
        if after:
            self._roles[workspace] = after
        else:
            self._roles.pop(workspace, None)
        subjects = before.keys() | after.keys()
        return frozenset(each for each in subjects if before.get(each) != after.get(each))

    def roles(self, caller: Caller, workspace: str) -> Roles:
        """All roles that a caller has in a workspace."""
        there = self._roles.get(workspace)
        if there is None:
            return _NONE
        return _NONE.union(*(there.get(subject, _NONE) for subject in keys_of(caller)))

    def workspaces(self, caller: Caller) -> Iterator[str]:
        """Those that a caller is a member of, each once."""
        mine = [self._workspaces[subject] for subject in keys_of(caller) if subject in self._workspaces]
        yield from dict.fromkeys(name for names in mine for name in names)


def _roles(members: Iterable[WorkspaceMember]) -> dict[str, Roles]:
    roles: dict[str, set[str]] = {}
    for role, subjects in by_role(members).items():
        for subject in subjects:
            roles.setdefault(subject, set()).add(role)
    return {subject: frozenset(each) for subject, each in roles.items()}
