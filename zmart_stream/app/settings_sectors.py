"""What operators say of coins: sector and size class, over the built-in table and the turnover's rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_serializer

from zmart_stream.app.settings_table import Table


class CoinTable(Table):
    """One base currency; what is left out stays as it is without the table."""

    sector: str | None = Field(None, description="Its sector; empty text: none.")
    market_cap_category: Literal["large", "mid", "small", "micro"] | None = Field(
        None, description="Its size class, in place of the one by turnover."
    )

    @model_serializer
    def _short(self) -> str | dict[str, str]:
        """As it is written most simply."""
        given = {name: value for name, value in self if value is not None}
        return given["sector"] if given.keys() == {"sector"} else given


def _written(value: object) -> object:
    """A text alone is the sector."""
    return {"sector": value} if isinstance(value, str) else value


Coin = Annotated[
    CoinTable,
    BeforeValidator(_written),
    WithJsonSchema({"anyOf": [{"type": "string"}, CoinTable.model_json_schema(mode="validation")]}),
]


def sectors_of(coins: Mapping[str, CoinTable]) -> dict[str, str]:
    """Base -> sector ("": none), of those that say one."""
    return {base: coin.sector for base, coin in coins.items() if coin.sector is not None}


def sizes_of(coins: Mapping[str, CoinTable]) -> dict[str, str]:
    """Base -> size class, of those that say one."""
    return {base: coin.market_cap_category for base, coin in coins.items() if coin.market_cap_category is not None}
