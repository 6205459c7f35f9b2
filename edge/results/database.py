"""SQL over the index of measurements. The only importer of DuckDB (the extra `edgebench[query]`).

A query is one SELECT over these views (docs/results.md). It can change nothing and read no file but the index: other
statements are refused by their kind, and the connection is locked without access to files beside those.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.contract import dumps
from edge.results.columns import DAMAGED, INDEXED, NAMES, Column, Record
from edge.results.filters import Among, Condition, Like
from profiles.errors import ConfigError, ResultError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

_EXTRA = "pip install 'edgebench[query]'"
_AT_ONCE = 10_000  # rows that are taken from DuckDB
_LARGEST = 2**28  # bytes of a measurement's figures

SAMPLES = {
    "process": "which fresh process, from 0",
    "warmup": "whether it was before the timed part",
    "position": "in that part of the process, from 0",
    "latency_ns": "of one inference (a batch), nanoseconds",
    "size_px": "one side of its images, where the load pattern draws them; 0 elsewhere",
}
"""The columns of the view `samples` beside `id`."""

_VIEWS = {
    "verdicts": """
        SELECT id, device, model, verdict, rules, one.rule AS rule,
            CASE WHEN one.broken THEN 'broken' ELSE 'unjudged' END AS kind, one.reason AS reason
        FROM (SELECT id, device, model, verdict, rules, unnest(from_json(json_extract(figures, '$.findings'),
            '[{"rule":"VARCHAR","broken":"BOOLEAN","reason":"VARCHAR"}]')) AS one FROM measurements)
        UNION ALL
        SELECT id, device, model, verdict, rules, one.name, 'flag', one.reason
        FROM (SELECT id, device, model, verdict, rules, unnest(from_json(json_extract(figures, '$.flags'),
            '[{"name":"VARCHAR","reason":"VARCHAR"}]')) AS one FROM measurements)""",
    "devices": """
        SELECT device, arg_max(profile, stored_at) AS profile, count(*) AS measurements,
            count(*) FILTER (verdict = 'INVALID') AS invalid, min(started_at) AS first_at, max(started_at) AS last_at,
            arg_max(identity, stored_at) AS identity
        FROM measurements GROUP BY device""",
    "artifacts": """
        SELECT artifact, any_value(model) AS model, any_value(framework) AS framework,
            any_value(precision) AS precision, any_value(weights) AS weights, count(*) AS measurements,
            count(DISTINCT device) AS devices, arg_max(produced_by, stored_at) AS produced_by
        FROM measurements WHERE artifact <> '' GROUP BY artifact""",
}


@dataclass(frozen=True)
class Answer:
    """What a query found: the names of its columns, no two alike, SQL's types of them, and the rows."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class NeedsSamples(Exception):
    """The query reads the view `samples`, and was not given any."""


def available() -> bool:
    """Whether DuckDB is installed."""
    return importlib.util.find_spec("duckdb") is not None


def require() -> None:
    """Errors: ConfigError without DuckDB, naming the extra."""
    _duckdb()


def ids_by_file(files: Sequence[Path]) -> dict[str, set[str]]:
    """The measurements that each file of the index knows, damaged ones left out."""
    if not files:
        return {}
    sql = f"SELECT filename, id FROM read_parquet({_list(files)}, filename = true) WHERE {DAMAGED.name} IS NULL"
    found: dict[str, set[str]] = {str(file): set() for file in files}
    for name, measurement in _fetched(_connect(), sql):
        found[name].add(measurement)
    return found


def write(
    target: Path,
    records: Iterable[Record],
    *,
    workspace: Path,
    columns: Sequence[Column] = INDEXED,
    kept: tuple[Path, set[str]] | None = None,
) -> None:
    """Write records as a Parquet file, after those of another file whose ids are in a set. Errors: ResultError."""
    lines = workspace / "records.jsonl"
    with lines.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{dumps(one)}\n" for one in records)
    shape = ", ".join(f"{column.name}: '{column.kind}'" for column in columns)
    options = f"format = 'newline_delimited', maximum_object_size = {_LARGEST}, columns = {{{shape}}}"
    source = f"SELECT * FROM read_json({_text(lines)}, {options})"
    if kept is not None:
        file, ids = kept
        held = f"list_contains({_list(sorted(ids))}::VARCHAR[], id)"
        old = f"SELECT * FROM read_parquet({_text(file)}) WHERE {DAMAGED.name} IS NULL AND {held}"
        source = f"{old} UNION ALL {source}"
    _run(_connect(), f"COPY ({source}) TO {_text(target)} (FORMAT parquet, COMPRESSION zstd)")


def devices(files: Sequence[Path]) -> dict[str, str]:
    """Every device with the profile that it had last."""
    connection = _connect()
    _views(connection, files, ())
    return dict(_fetched(connection, "SELECT device, profile FROM devices ORDER BY device"))


def pick(
    files: Sequence[Path], conditions: Sequence[Condition], key: tuple[str, bool] | None, most: int
) -> tuple[list[str], int]:
    """See catalogue.Catalogue: ids, and how many there are."""
    connection = _connect()
    source = f"({_source(files)}) WHERE {_where(conditions) if conditions else 'true'}"
    ((total,),) = _fetched(connection, f"SELECT count(*) FROM {source}")
    name, down = key or ("stored_at", True)
    order = f"{name} {'DESC' if down else 'ASC'} NULLS LAST, stored_at DESC, id DESC"
    ids = [one for (one,) in _fetched(connection, f"SELECT id FROM {source} ORDER BY {order} LIMIT {most}")]
    return ids if key else ids[::-1], total


def answer(
    files: Sequence[Path], conditions: Sequence[Condition], sql: str, *, samples: Arrays | None = None
) -> Answer:
    """Run one SELECT over the views, of measurements that fulfil the conditions. `samples` are arrays of equal length:
    `id` and those of SAMPLES.

    Errors: ConfigError for SQL that is wrong or does more than to read; NeedsSamples.
    """
    duckdb, connection = _duckdb(), _connect()
    _views(connection, files, conditions)
    if samples is not None:
        connection.register("given_samples", dict(samples))
        _run(connection, "CREATE VIEW samples AS SELECT * FROM given_samples")
    _lock(connection, files)
    try:
        _check_kind(duckdb, connection, sql)
        relation = connection.execute(sql)
        described = relation.description
    except duckdb.CatalogException as error:
        if samples is None and "samples" in str(error).partition("!")[0].lower():
            raise NeedsSamples from None
        raise _mistake(error) from None
    except duckdb.Error as error:
        raise _mistake(error) from None
    names = _distinct([column[0] for column in described])
    return Answer(names, tuple(str(column[1]) for column in described), _rows(duckdb, relation))


def identifiers(files: Sequence[Path], conditions: Sequence[Condition]) -> list[str]:
    """The ids of all measurements that fulfil the conditions."""
    connection = _connect()
    _views(connection, files, conditions)
    return [one for (one,) in _fetched(connection, "SELECT id FROM measurements ORDER BY stored_at, id")]


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"DuckDB cannot be imported ({error})", where="SQL over results", fix=_EXTRA) from None
    return duckdb


def _connect() -> Any:
    return _duckdb().connect(":memory:", config={"temp_directory": "", "autoload_known_extensions": "false"})


def _views(connection: Any, files: Sequence[Path], conditions: Sequence[Condition]) -> None:
    where = _where([*conditions]) if conditions else "true"
    names = ", ".join(NAMES)
    sql = f"SELECT {names} FROM ({_source(files)}) WHERE {DAMAGED.name} IS NULL AND ({where})"
    _run(connection, f"CREATE VIEW measurements AS {sql}")
    for name, view in _VIEWS.items():
        _run(connection, f"CREATE VIEW {name} AS {view}")


def _source(files: Sequence[Path]) -> str:
    if files:
        return f"SELECT * FROM read_parquet({_list(files)})"
    none = ", ".join(f"CAST(NULL AS {column.kind}) AS {column.name}" for column in INDEXED)
    return f"SELECT {none} WHERE false"


def _lock(connection: Any, files: Sequence[Path]) -> None:
    _run(connection, f"SET allowed_paths = {_list(files)}")
    _run(connection, "SET enable_external_access = false")
    _run(connection, "SET lock_configuration = true")


def _check_kind(duckdb: Any, connection: Any, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise ConfigError(f"{len(statements)} statements; a query is one", where="SQL")
    if statements[0].type != duckdb.StatementType.SELECT:
        message = f"{statements[0].type.name} is no query"
        raise ConfigError(message, where="SQL", fix="results are read with SELECT, and changed by nobody")


def _rows(duckdb: Any, relation: Any) -> Iterator[tuple[Any, ...]]:
    try:
        while some := relation.fetchmany(_AT_ONCE):
            yield from some
    except duckdb.Error as error:
        raise _mistake(error) from None


def _mistake(error: Exception) -> ConfigError:
    return ConfigError(" ".join(str(error).split()), where="SQL", fix="docs/results.md has the views and their columns")


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The second `id` is `id_2`."""
    told: list[str] = []
    for name in names:
        number, free = 2, name
        while free in told:
            free, number = f"{name}_{number}", number + 1
        told.append(free)
    return tuple(told)


def _where(conditions: Sequence[Condition]) -> str:
    return " AND ".join(map(_condition, conditions))


def _condition(condition: Condition) -> str:
    if isinstance(condition, Among):
        return f"list_contains({_list(sorted(condition.values))}::VARCHAR[], {condition.column})"
    if isinstance(condition, Like):
        return f"{condition.column} GLOB {_text(condition.pattern)}"
    return f"{condition.column} >= {_text(condition.moment)}::TIMESTAMP"


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _list(values: Iterable[object]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _run(connection: Any, sql: str) -> Any:
    duckdb = _duckdb()
    try:
        return connection.execute(sql)
    except duckdb.Error as error:
        message = f"DuckDB failed ({' '.join(str(error).split())})"
        raise ResultError(
            message, where="the index of results", fix="it is made anew when its folder is removed"
        ) from None


def _fetched(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = _run(connection, sql).fetchall()
    return found
