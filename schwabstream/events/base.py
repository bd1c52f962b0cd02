"""What the models of all events share: frozen models, the common fields, and times as datetimes."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

VERSION: Final = 1
"""The version of the event format, the field ``v``."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: Final = "\n\nFields:\n"


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _drop_field_list(schema: dict[str, Any]) -> None:
    """Remove the list of fields from a schema, where each field has its own description."""
    schema["description"] = schema["description"].partition(_FIELDS)[0]


class FrozenModel(BaseModel):
    """A model of data from another program: frozen, ignores unknown fields, lists its fields in its docstring."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra=_drop_field_list,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Append the fields with their meanings, for ``help()``."""
        fields = (
            f"    {name}: {' '.join((field.description or '').split())}" for name, field in cls.model_fields.items()
        )
        cls.__doc__ = f"{cls.__doc__}{_FIELDS}" + "\n".join(fields)


class BaseEvent(FrozenModel):
    """The fields of every event."""

    v: Literal[1] = VERSION
    """Version of the event format: 1."""
    symbol: str | None = None
    """The symbol concerned, as written in the settings; null when the event concerns the whole streamer."""
    key: str | None = None
    """The same symbol as Schwab writes it, such as `/MNQ` for `/MNQ:XCME`."""
    seq: int
    """Sequence number on the channel: 1 more than the event before. It jumps between runs and never falls, but after a
    failover of Redis an event may be written again with its old number."""
    prev: int | None = None
    """`seq` of the previous event of the same symbol on this channel in this run; 0 for its first event, and
    sometimes for a symbol that is streamed again. A reader of one symbol detects lost events with it. Null in events of
    earlier versions."""
    timestamp: int
    """Exchange time, in milliseconds since the Unix epoch, UTC."""
    received_us: int
    """Time at which the streamer received the frame, in microseconds since the Unix epoch, UTC."""

    @property
    def timestamp_at(self) -> datetime:
        """``timestamp`` as an aware datetime in UTC."""
        return from_ms(self.timestamp)

    @property
    def received_at(self) -> datetime:
        """``received_us`` as an aware datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.received_us)


class MarketEvent(BaseEvent):
    """An event of one symbol."""

    symbol: str
    """The symbol as written in the settings, such as `/MNQ:XCME`."""
    key: str
    """The same symbol as Schwab writes it, such as `/MNQ`."""
