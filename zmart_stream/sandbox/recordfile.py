"""Reads an OHLCV record (Parquet or CSV) into whole numbers: ticks and lots that give back its figures exactly."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.expand import TickBars, least_lots, with_value
from zmart_stream.sandbox.keyed import FloatArray, IntArray

_PRICES = ("open", "high", "low", "close")
_COLUMNS = ("symbol", "ts_ms", *_PRICES, "volume")
_MAX_DIGITS = 12
_QUOTES = ("USDT", "USDC", "USD")
_STEPS_MIN = (1, 5)


class Series(NamedTuple):
    """The record of one symbol."""

    name: str  # as the record writes it, e.g. BTCUSDT
    start: IntArray  # bar starts, minutes since the epoch, ascending
    bars: TickBars
    digits: int  # one tick = 10^-digits
    lot_digits: int  # one lot = 10^-lot_digits base coins; negative: lots of 10, 100, ...


class Record(NamedTuple):
    """A whole record."""

    name: str
    minutes: int  # of one bar: 1 or 5
    series: list[Series]


def read_record(path: Path) -> Record:
    """The record at `path`: a file, or a directory with ohlcv_*.parquet or .csv; ConfigError says what is wrong."""
    table = _sorted(pa.concat_tables([_columns(file, _COLUMNS) for file in record_files(path, "ohlcv_*")]))
    if not table.num_rows:
        raise ConfigError(f"{path}: the record is empty")
    names, parts = by_symbol(table)
    starts = [_minutes(path, name, part) for name, part in zip(names, parts, strict=True)]
    size = _bar_minutes(path, starts)
    series = [_series(path, *row) for row in zip(names, starts, parts, strict=True)]
    return Record(path.name, size, series)


def record_files(path: Path, pattern: str) -> list[Path]:
    """`path` itself if it is a file, else the Parquet or CSV files of that pattern in it, sorted."""
    if path.is_file():
        return [path]
    found = sorted(file for suffix in (".parquet", ".csv") for file in path.glob(pattern + suffix))
    if not found:
        raise ConfigError(f"{path}: no {pattern}.parquet or .csv there")
    return found


def read_events(folder: Path, name: str, columns: tuple[str, ...]) -> dict[str, tuple[IntArray, FloatArray]]:
    """symbol → (ts_ms, last of `columns`), ascending, of an optional file beside the record; empty without it."""
    files = [folder / f"{name}{suffix}" for suffix in (".parquet", ".csv")]
    tables = [_columns(file, ("symbol", "ts_ms", *columns)) for file in files if file.is_file()]
    if not tables:
        return {}
    names, parts = by_symbol(_sorted(pa.concat_tables(tables)))
    return {
        symbol: (part["ts_ms"].to_numpy().astype(np.int64), part[columns[-1]].to_numpy().astype(np.float64))
        for symbol, part in zip(names, parts, strict=True)
    }


def by_symbol(table: pa.Table) -> tuple[list[str], list[pa.Table]]:
    """The symbols of a table sorted by symbol, and each one's rows."""
    symbols = np.asarray(table["symbol"].to_pylist())
    names, first = np.unique(symbols, return_index=True)
    edges = [*first.tolist(), len(symbols)]
    return names.tolist(), [table.slice(a, b - a) for a, b in pairwise(edges)]


def split_name(name: str) -> tuple[str, str]:
    """(base, quote) of a recorded name as the venue writes them: BTCUSDT → XBT, USDT."""
    plain = name.upper().replace("-", "").replace("/", "").replace("_", "").split(":")[0]
    for quote in _QUOTES:
        if plain.endswith(quote) and len(plain) > len(quote):
            base = plain[: -len(quote)]
            return ("XBT" if base == "BTC" else base), quote
    raise ConfigError(f"{name}: not a base and quote currency ({', '.join(_QUOTES)})")


def _columns(file: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        table = pcsv.read_csv(file) if file.suffix == ".csv" else pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: not readable as {file.suffix[1:] or 'Parquet'}: {error}") from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ConfigError(f"{file}: no column {', '.join(missing)}")
    table = table.select(list(columns))
    types = [pa.string(), pa.int64(), *[pa.float64()] * (len(columns) - 2)]
    try:
        return table.cast(pa.schema(list(zip(columns, types, strict=True))))
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{file}: {error}") from error


def _sorted(table: pa.Table) -> pa.Table:
    return table.take(pc.sort_indices(table, sort_keys=[("symbol", "ascending"), ("ts_ms", "ascending")]))


def _minutes(path: Path, name: str, part: pa.Table) -> IntArray:
    stamps = part["ts_ms"].to_numpy()
    if np.any(stamps % 60_000) or np.any(np.diff(stamps) <= 0):
        raise ConfigError(f"{path}: {name}: bar starts must be whole minutes, each only once")
    return np.asarray(stamps // 60_000, dtype=np.int64)


def _bar_minutes(path: Path, starts: list[IntArray]) -> int:
    """Length of a bar: the least distance between two, 1 or 5 minutes."""
    gaps = [int(np.diff(start).min()) for start in starts if len(start) > 1]
    size = min(gaps, default=1)
    if size not in _STEPS_MIN or any(np.any(start % size) for start in starts):
        raise ConfigError(f"{path}: bars of {size} min; a record has bars of 1 or 5 min on that grid")
    return size


def _series(path: Path, name: str, start: IntArray, part: pa.Table) -> Series:
    prices = [part[column].to_numpy() for column in _PRICES]
    volume = part["volume"].to_numpy()
    if not all(np.all(np.isfinite(column)) for column in (*prices, volume)):
        raise ConfigError(f"{path}: {name}: a figure is missing or not finite")
    digits = _digits(np.concatenate(prices), 0)
    lot_digits = _digits(volume, -3)
    if digits is None or lot_digits is None:
        raise ConfigError(f"{path}: {name}: more than {_MAX_DIGITS} decimals")
    ticks = [np.rint(column * float(f"1e{digits}")).astype(np.int64) for column in prices]
    top, bottom = np.maximum(prices[0], prices[3]), np.minimum(prices[0], prices[3])
    if np.any(prices[2] <= 0) or np.any(volume < 0) or np.any(prices[1] < top) or np.any(prices[2] > bottom):
        raise ConfigError(f"{path}: {name}: a bar's prices or volume cannot be")
    bars, lot_digits = _with_room(ticks, volume, lot_digits)
    mean = np.asarray((bars.open + bars.high + bars.low + bars.close) * 0.25, dtype=np.float64)
    return Series(name, start, with_value(bars, mean), digits, lot_digits)


def _with_room(ticks: list[IntArray], volume: FloatArray, lot_digits: int) -> tuple[TickBars, int]:
    """Bars in lots small enough that each can trade through its prices, and the decimals of such a lot."""
    while True:
        lots = np.rint(volume * float(f"1e{lot_digits}")).astype(np.int64)
        bars = TickBars(ticks[0], ticks[1], ticks[2], ticks[3], lots, lots)
        if np.all((lots == 0) | (lots >= least_lots(bars))):
            return bars, lot_digits
        lot_digits += 1


def _digits(values: FloatArray, least: int) -> int | None:
    """The fewest decimals that write every value exactly; negative: trailing zeros all values share."""
    for digits in range(least, _MAX_DIGITS + 1):
        scale = 10.0 ** abs(digits)
        whole = np.rint(values * scale) if digits >= 0 else np.rint(values / scale)
        back = whole / scale if digits >= 0 else whole * scale
        if np.array_equal(back, values):
            return digits
    return None
