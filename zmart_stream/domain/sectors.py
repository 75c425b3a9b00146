"""Which sector a coin belongs to: the built-in table, by base currency as futures symbols write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

_TABLE = {
    "layer1": """
        XBT ETH SOL XRP BNB ADA AVAX TRX TON DOT NEAR SUI APT ATOM ICP ALGO HBAR XLM LTC BCH ETC EOS XTZ EGLD KAS
        SEI INJ TIA FTM S VET THETA NEO IOTA QTUM ONT ZIL ICX WAVES KAVA ROSE MINA FLOW CELO CFX KLAY KAIA ONE BSV
        XEM RVN DGB LSK ARDR BTG HYPE BERA MOVE MON IP XPL INIT KDA CKB LUNA LUNC OSMO CORE ASTR GLMR MOVR VANA A
        ALEPH ZKJ NIL ERG DCR FLR XDC WAXP HIVE STEEM CSPR""",
    "layer2": """
        POL MATIC ARB OP STRK MNT IMX METIS ZK MANTA BLAST SCR TAIKO LINEA STX MERL BOBA LRC SKL CTSI ALT DYM LAYER
        SOPH ZORA BB B2 HEMI ERA CYBER AEVO CELR LUMIA""",
    "defi": """
        UNI AAVE MKR SKY LDO CRV CVX SNX COMP SUSHI YFI BAL 1INCH CAKE DYDX GMX PENDLE RUNE JUP JTO RAY ORCA ENA
        ETHFI EIGEN RPL FXS FRAX LQTY KNC ZRX BNT UMA PERP WOO RDNT MORPHO SPELL ALPHA BADGER REN STG JOE VELO AERO
        COW SUN BANANA DRIFT KMNO REZ SSV PUFFER USUAL RESOLV SYRUP EUL FLUID HFT MAV ID SUPER AUCTION LISTA BAKE
        XVS ALPACA QUICK BSW CETUS NAVX WLFI ASTER AVNT""",
    "meme": """
        DOGE SHIB PEPE WIF BONK FLOKI MEME BOME MEW POPCAT BRETT TURBO NEIRO NEIROCTO GOAT PNUT ACT MOODENG FARTCOIN
        TRUMP MELANIA BABYDOGE DOGS HMSTR SATS RATS ORDI MOG PONKE GIGA SPX CHILLGUY PENGU BAN LADYS MYRO SLERF
        SUNDOG CAT WEN KOMA HIPPO VINE PUMP USELESS TOSHI AIDOGE PEOPLE ELON COQ MUBARAK TUT BROCCOLI BANANAS31 TST
        X MOTHER KISHU FWOG PORK DEGEN""",
    "ai": """
        TAO FET AGIX OCEAN RENDER RNDR WLD ARKM AIXBT VIRTUAL AI16Z GRASS AKT AIOZ PHB NMR CTXC NFP AI ZEREBRO
        SWARMS GRIFFAIN ARC COOKIE KAITO IO ATH VVV ALCH PROMPT SAHARA GAIA SIREN RLC IQ CGPT DEAI BIO PIPPIN SKYAI""",
    "gaming": """
        AXS SAND MANA GALA ENJ ILV YGG MAGIC PIXEL PORTAL XAI RON BEAM BIGTIME ALICE TLM GMT APE PRIME CATI NOT ACE
        SLP VOXEL HIGH CHR MAVIA GHST RARE SUPERVERSE DAR MBOX LOKA NAKA GODS BLUR AGLD""",
    "exchange": "OKB KCS GT BGB CRO HT LEO MX FTT BMX XCN",
    "payments": "XNO ACH COTI PUNDIX UTK AMP REQ XVG HOT WXT XION PAYAI",
    "privacy": "XMR ZEC DASH ZEN SCRT ARRR FIRO BEAMX NYM ZANO",
    "storage": "FIL AR STORJ SC BTT HNT BLZ HOLO ANKR WAL SHDW",
    "oracle": "LINK PYTH API3 BAND TRB DIA RED SUPRA",
    "rwa": "ONDO OM POLYX CFG RSR PAXG XAUT MPL TRU CHEX PLUME HUMA ZBCN TOKEN",
    "infrastructure": """
        GRT QNT ENS LPT ZRO W AXL WAXL JASMY IOTX POWR POND NKN CTK MASK GLM LIT ARPA T FLUX DENT DUSK MTL HOOK GAS
        EDU OXT SYN SAFE G CVC BICO POKT NTRN PROVE""",
    "fan": "CHZ SANTOS PSG BAR LAZIO OG PORTO ALPINE CITY",
    "social": "CYBERCONNECT GTC RAD DESO MBL STEEMD HIFI BAT AUDIO TWT C98 SFP LOOKS",
}

_PREFIXES = ("1000000", "100000", "10000", "1000", "1M", "1B", "1K")


_SECTOR_BY_BASE = {base: sector for sector, words in _TABLE.items() for base in words.split()}

SECTORS: tuple[str, ...] = tuple(_TABLE)
"""The sector names, in a fixed order."""


def bases() -> tuple[str, ...]:
    """Every base currency of the table, sector by sector, in a fixed order."""
    return tuple(_SECTOR_BY_BASE)


@lru_cache(maxsize=4096)
def sector_of(base: str) -> str | None:
    """The sector of a base currency (`XBT`, `BTC`, `1000BONK`, `1MBONK`, ...); None if the table does not know it."""
    return next((_SECTOR_BY_BASE[name] for name in _spellings(base) if name in _SECTOR_BY_BASE), None)


def placed(base: str, sector: str | None, overrides: Mapping[str, str]) -> str | None:
    """The sector that `overrides` (base -> sector, "": none) gives a base however either spells it, else `sector`."""
    if not overrides:
        return sector
    named = {("XBT" if name.upper() == "BTC" else name.upper()): given for name, given in overrides.items()}
    found = next((named[name] for name in _spellings(base) if name in named), sector)
    return found or None


def _spellings(base: str) -> Iterator[str]:
    """The name as futures symbols write it, then without each multiplier that it may carry."""
    name = base.upper()
    yield "XBT" if name == "BTC" else name
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            yield name[len(prefix) :]
