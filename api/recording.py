"""Records uses in the audit log before they happen: what cannot be recorded is refused."""

from api.problems import Kind, ProblemError
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.store.audit import Action, Actor, AuditLog

NOT_RECORDED = Kind("not-recorded", 503, "The audit log cannot be written, so this is refused.")


def record(audit_log: AuditLog, who: Actor, action: Action, target: str | None = None, *, after: object = None) -> None:
    """Record a use that changes nothing in the state store.

    Raises:
        ProblemError: The state store is unreachable.
    """
    try:
        audit_log.record(who, action, target, after=after)
    except ServerUnavailableError:
        detail = "the state store is unreachable, and a use that cannot be recorded is refused: try again in 1 s"
        raise ProblemError(NOT_RECORDED, detail, {"Retry-After": "1"}) from None
