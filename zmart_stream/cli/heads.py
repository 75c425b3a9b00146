"""Heads of the CSV that verbs print, so that one without rows has the same head as one with many."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


RANKINGS = _names(
    "symbol score rank composite confidence components eligible failed_gates in_book sector price turnover_24h "
    "spread_bps live age_s symbol_id"
)
HOLDINGS = _names(
    "rank symbol symbol_id sector weight score score_now since age_s pinned replacement_candidate flags id value_usdt "
    "price_pnl_usdt funding_usdt costs_usdt earned_usdt drifted_weight"
)
HISTORY = _names("id kind reason symbol_in symbol_out before after numbers who note revision at")
METRICS = _names("metric value reason")
ATTRIBUTION = _names("symbol sector contribution")
EQUITY = _names("at equity cash price_pnl funding costs traded first_book benchmark")
SWAPS = _names(
    "id symbol_out symbol_in gap since until costs_usdt unswapped_usdt swapped_usdt earned_usdt earned_bps spread_bps "
    "is_final"
)
SIGNALS = _names(
    "id symbol_id source_name signal_type signal_strength confidence_level signal_direction signal_data status "
    "created_at processed_at expires_at submitted_by idempotency_key symbol reason detail problems p approved quorum "
    "spoke dissent veto action target_symbol plan decision price cost change_id due_at"
)
NOTIFICATIONS = _names("id event_id type endpoint text state attempts created next_attempt done last_error")
OPINIONS = _names("agent p stance veto reasons ages")
