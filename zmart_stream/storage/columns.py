"""What the tables are made of: the one MetaData, times, ids, numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Column, DateTime, MetaData, Numeric, TypeDecorator, Uuid, text
from sqlalchemy.engine import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTime(TypeDecorator[int]):
    """A TIMESTAMP in UTC that Python sees as whole ns since the epoch, cut to microseconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Whole ns to a moment."""
        return None if value is None else EPOCH + timedelta(microseconds=value // 1000)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's
        """A moment to whole ns; SQLite hands it back without its zone."""
        if value is None:
            return None
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return int((moment - EPOCH) // timedelta(microseconds=1)) * 1000


def identifier() -> Column[str]:
    """The primary key `id`, a UUID as text."""
    return Column("id", Uuid(as_uuid=False), primary_key=True)


def number(precision: int, scale: int) -> Numeric[float]:
    """A decimal that Python sees as float."""
    return Numeric(precision, scale, asdecimal=False)


NOW = text("CURRENT_TIMESTAMP")
DOCUMENT = JSON(none_as_null=True)
