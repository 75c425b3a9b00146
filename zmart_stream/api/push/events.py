"""What the core derived, to those who listen."""

from __future__ import annotations

from collections.abc import Sequence

from zmart_stream.api.push.hub import Hub
from zmart_stream.domain.events import told
from zmart_stream.domain.message import Message


def tell(hub: Hub, messages: Sequence[Message]) -> None:
    """Publish what is for clients; the rest is passed over."""
    for message in messages:
        event = told(message)
        if event is not None:
            hub.publish(event.kind, event.symbols, event.fields)
