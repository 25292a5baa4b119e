"""In charge of who asks and what they may do: permissions, viewers, and the profiles in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from resolvers.errors.catalogue import forbidden
from resolvers.values.enums import Permission
from storage.reads.plan import Scope, Visibility


@dataclass(frozen=True)
class Viewer:
    """Whoever a request is made for: a profile and what it may do."""

    profile_id: int
    profile_name: str
    permissions: frozenset[Permission]
    built_in: bool

    def may(self, permission: Permission) -> bool:
        """Whether the viewer has the permission; an admin has all."""
        return permission in self.permissions or Permission.ADMIN in self.permissions

    def require(self, permission: Permission | None, what: str) -> None:
        """Raise ``FORBIDDEN`` unless the viewer may do ``what``."""
        if permission is not None and not self.may(permission):
            raise forbidden(
                f"{what} needs the permission {permission.value},"
                f" which the profile {self.profile_name} does not have"
            )

    @property
    def sees_all(self) -> bool:
        """Whether every process exists for this viewer, or only those it is authorised on."""
        return self.built_in or Permission.ADMIN in self.permissions

    @property
    def only_profile(self) -> int | None:
        """The profile whose authorisations limit what the viewer sees; None for no limit."""
        return None if self.sees_all else self.profile_id

    def scope(self, permission: Permission) -> Scope:
        """What statements that run on this permission may show to the viewer."""
        if not self.may(permission):
            processes = Visibility.NONE
        else:
            processes = Visibility.ALL if self.sees_all else Visibility.AUTHORISED
        return Scope(processes, sources=Permission.ADMIN in self.permissions)

    @cached_property
    def reading(self) -> Scope:
        """What reads may show to the viewer."""
        return self.scope(Permission.PROCESS_READ)
