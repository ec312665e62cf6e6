"""The tables of UMLAUT as ORM classes, over the views that show every database in this shape."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLAlchemy evaluates the annotations of the columns
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, DateTime, ForeignKey, Integer, NullPool, String, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.session import Session
from sqlalchemy.types import TypeDecorator

from umlaut_async.legacy.data import decode_shown, encode_shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["Base", "BenchmarkMetadata", "Measurement", "new_session"]


class _Data(TypeDecorator[Any]):
    """What was measured, as UMLAUT gave it last: the text of a JSON object, or a number, a text, a list, a mapping."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else encode_shown(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return decode_shown(value)


class Base(DeclarativeBase):
    """The declarative base of both."""


class BenchmarkMetadata(Base):
    """A run of a pipeline."""

    __tablename__ = "benchmark_metadata"

    uuid: Mapped[str] = mapped_column(String, primary_key=True)
    meta_description: Mapped[str | None] = mapped_column(String)
    meta_name: Mapped[str | None] = mapped_column(String)
    meta_start_time: Mapped[datetime | None] = mapped_column(DateTime)
    """In the local time of the process, without a time zone."""


class Measurement(Base):
    """One value of one metric of one call, or one value that was logged or tracked."""

    __tablename__ = "measurement"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    uuid: Mapped[str | None] = mapped_column(String, ForeignKey("benchmark_metadata.uuid"))
    measurement_datetime: Mapped[datetime | None] = mapped_column(DateTime)
    """When it was recorded, in the local time of the process, without a time zone."""
    measurement_description: Mapped[str] = mapped_column(String)
    measurement_type: Mapped[str | None] = mapped_column(String)
    measurement_data: Mapped[Any] = mapped_column(_Data)
    """Of sampled types the text of a JSON object with `timestamps` and `measurements`; else what was measured."""
    measurement_unit: Mapped[str | None] = mapped_column(String)
    measured_method_name: Mapped[str | None] = mapped_column(String)


def new_session(path: str, connect: Callable[[], sqlite3.Connection]) -> Session:
    """Return a session on connections of its own, to a database that cannot be written through it.

    Args:
        path: Where the database is.
        connect: Opens a connection that has the views.
    """
    # No transaction is open between statements, so each of them sees what was committed last.
    return Session(create_engine(URL.create("sqlite+pysqlite", database=path), creator=connect, poolclass=NullPool))
