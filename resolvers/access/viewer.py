"""Define the viewer: the authenticated caller of a request, with its permissions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from resolvers.errors.catalogue import forbidden
from resolvers.values.enums import Permission
from storage.reads.plan import Scope, Visibility


@dataclass(frozen=True)
class Viewer:
    """The authenticated caller of a request: a profile and its permissions."""

    profile_id: int
    profile_name: str
    permissions: frozenset[Permission]
    built_in: bool

    def may(self, permission: Permission) -> bool:
        """Return whether the viewer has the permission. Admins have all permissions."""
        return permission in self.permissions or Permission.ADMIN in self.permissions

    def require(self, permission: Permission | None, what: str) -> None:
        """Check that the viewer has a permission.

        Args:
            permission: The required permission, or None if none is required.
            what: The operation that requires it, for the error message.

        Raises:
            GatewayError: ``FORBIDDEN`` if the viewer does not have the permission.
        """
        if permission is not None and not self.may(permission):
            raise forbidden(
                f"{what} needs the permission {permission.value},"
                f" which the profile {self.profile_name} does not have"
            )

    @property
    def sees_all(self) -> bool:
        """Whether the viewer sees every process, or only those its profile is authorized on."""
        return self.built_in or Permission.ADMIN in self.permissions

    @property
    def only_profile(self) -> int | None:
        """The profile whose authorizations limit what the viewer sees, or None for no limit."""
        return None if self.sees_all else self.profile_id

    def scope(self, permission: Permission) -> Scope:
        """Return what statements that require this permission may show to the viewer."""
        if not self.may(permission):
            processes = Visibility.NONE
        else:
            processes = Visibility.ALL if self.sees_all else Visibility.AUTHORIZED
        return Scope(processes, sources=Permission.ADMIN in self.permissions)

    @cached_property
    def reading(self) -> Scope:
        """What read statements may show to the viewer."""
        return self.scope(Permission.PROCESS_READ)
