"""Times as Kubernetes writes them. Pure."""

from datetime import UTC, datetime


def timestamp(time: datetime) -> str:
    """RFC 3339 in whole seconds and UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime | None:
    """None for what is no time, or none with a zone: anybody may write an annotation or a status."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
