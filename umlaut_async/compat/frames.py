"""The benchmark that UMLAUT draws from: what a database holds as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.compat.facade import Benchmark, warn_of_unused

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from pandas import DataFrame

_AT_ONCE = 10_000
"""How many values one statement asks for; SQLite takes 32,766."""


class VisualizationBenchmark(Benchmark):
    """Read a database as DataFrames; needs pandas, which the extra `pandas` installs.

    Args:
        db_file: The path of the database file.
        tmp_dir: Without effect: there is no temporary directory.
    """

    def __init__(self, db_file: str | os.PathLike[str], tmp_dir: str | None = None) -> None:
        warn_of_unused(tmp_dir=tmp_dir)
        super().__init__(db_file, mode="r")

    def query_all_meta(self) -> DataFrame:
        """Return all runs: their description, name and start, with the uuid as index."""
        from umlaut_async.compat.datamodel import BenchmarkMetadata as Meta

        return self._frame("uuid", Meta.uuid, Meta.meta_description, Meta.meta_name, Meta.meta_start_time)

    def query_all_uuid_type_desc(self) -> DataFrame:
        """Return the run, the type and the description of all measurements, with their id as index."""
        from umlaut_async.compat.datamodel import Measurement

        return self._frame(
            "id",
            Measurement.id,
            Measurement.uuid,
            Measurement.measurement_type,
            Measurement.measurement_description,
        )

    def join_visualization_queries(self, uuid_type_desc_df: DataFrame) -> DataFrame:
        """Return the given measurements with all other columns of both tables.

        Args:
            uuid_type_desc_df: Rows of what `query_all_uuid_type_desc` returns.
        """
        from umlaut_async.compat.datamodel import BenchmarkMetadata as Meta
        from umlaut_async.compat.datamodel import Measurement

        runs = self._frame(
            "uuid",
            Meta.uuid,
            Meta.meta_start_time,
            Meta.meta_description,
            Meta.meta_name,
            among=uuid_type_desc_df["uuid"].unique().tolist(),
        )
        measured = self._frame(
            "id",
            Measurement.id,
            Measurement.measurement_datetime,
            Measurement.measurement_data,
            Measurement.measurement_unit,
            Measurement.measured_method_name,
            among=uuid_type_desc_df.index.tolist(),
        )
        return uuid_type_desc_df.join(runs, on="uuid", how="inner").join(measured, how="inner")

    def _frame(self, index: str, *columns: Any, among: Sequence[Any] | None = None) -> DataFrame:
        """Return columns, the first of which is the index; of rows in which it is among some values, or of all."""
        names = [column.key for column in columns]
        rows = [tuple(row) for row in self._rows(columns, among)]
        return _pandas().DataFrame(rows, columns=names).set_index(index)

    def _rows(self, columns: tuple[Any, ...], among: Sequence[Any] | None) -> Iterator[Any]:
        if among is None:
            yield from self.query(*columns).all()
            return
        for start in range(0, len(among), _AT_ONCE):
            yield from self.query(*columns).filter(columns[0].in_(among[start : start + _AT_ONCE])).all()


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "VisualizationBenchmark needs pandas: python -m pip install 'umlaut_async[pandas]'", name="pandas"
        ) from error
    return pandas
