"""Times as Kubernetes writes them. Pure."""

from datetime import UTC, datetime


def timestamp(time: datetime) -> str:
    """RFC 3339 in whole seconds and UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
