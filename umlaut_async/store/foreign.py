"""Values in a database that this package does not write: looked for where reading one has failed.

SQLite keeps in a column whatever it is given. Readers take what is there as it is, for looking at each value would take
longer than all else; where that fails, this tells whether the database is to blame or who reads it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Float, Integer, LargeBinary, Text, and_, case, func, not_, or_, select
from sqlalchemy.exc import SQLAlchemyError

from umlaut_async.store.models import Base, Json

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Engine

__all__ = ["foreign_column"]

_LARGEST = 1.7976931348623157e308
_FORMS = {"run": {"tags": "array", "environment": "object", "collector": "object"}}
"""What the JSON of some columns is."""


def foreign_column(engine: Engine) -> str | None:
    """Return the name of a table and a column with a value that this package does not write; None without any.

    Args:
        engine: A file; the columns of a server hold what they are declared to.
    """
    if engine.dialect.name != "sqlite":
        return None
    with suppress(SQLAlchemyError), engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for column in table.columns:
                if connection.scalar(select(1).select_from(table).where(not_(_is_ours(column))).limit(1)):
                    return f"{table.name}.{column.name}"
    return None


def _is_ours(column: Column[Any]) -> ColumnElement[bool]:
    kind = func.typeof(column)
    if isinstance(column.type, Json):
        form = _FORMS.get(column.table.name, {}).get(column.name)
        # A case stops at the first that holds: what is no JSON has no type of JSON, but an error.
        ours = case((kind != "text", 0), (func.json_valid(column) == 0, 0), else_=1) == 1
        if form is not None:
            ours = case((not_(ours), ""), else_=func.json_type(column)) == form
    elif isinstance(column.type, Float):
        ours = and_(kind.in_(("real", "integer")), column.between(-_LARGEST, _LARGEST))
    else:
        names = {BigInteger: "integer", Integer: "integer", LargeBinary: "blob", Text: "text"}
        ours = kind == next(name for type_, name in names.items() if isinstance(column.type, type_))
    return or_(kind == "null", ours) if column.nullable else ours
