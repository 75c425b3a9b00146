"""All message classes as two unions, and the codecs that carry them: msgpack (capture) and JSON (API, push, log)."""

from __future__ import annotations

import msgspec

from zmart_stream.domain import bars, commands, market, portfolio, scores, signals

Input = (
    market.Ticker
    | market.Trade
    | market.Depth
    | market.MarkIndex
    | market.FundingEstimate
    | market.FundingSettled
    | market.FundingHistory
    | market.ContractStats
    | market.Listing
    | market.Bars
    | market.Coverage
    | market.FeedState
    | market.VenueStatus
    | market.WarmUp
    | market.Tick
    | commands.AddHolding
    | commands.RemoveHolding
    | commands.ReplaceHolding
    | commands.Rebalance
    | commands.PinHolding
    | commands.UnpinHolding
    | commands.BlockSymbol
    | commands.UnblockSymbol
    | commands.Pause
    | commands.Resume
    | commands.ReleaseSource
    | commands.Recalculate
    | commands.Reconfigure
    | commands.DisablePlugin
    | commands.StorageDegraded
    | commands.StorageRecovered
    | signals.SubmitSignal
)

Derived = (
    scores.ScoreChanged
    | scores.ScoresClosed
    | scores.Recalculated
    | bars.BarBlock
    | bars.BarsAmended
    | bars.RepairWanted
    | bars.TopicSilent
    | portfolio.PortfolioChange
    | portfolio.HoldChanged
    | portfolio.BookReady
    | portfolio.FlagsChanged
    | portfolio.WeightsKept
    | portfolio.BookTraded
    | portfolio.SwapMeasured
    | portfolio.FundingPaid
    | portfolio.EquityMarked
    | signals.SignalReceived
    | signals.SignalRejected
    | signals.SignalRepeated
    | signals.SignalEvaluated
    | signals.SignalDecided
    | signals.SignalEnded
    | signals.SignalSettled
    | commands.CommandDone
    | commands.PluginDisabled
    | commands.Reconfigured
)

pack = msgspec.msgpack.Encoder().encode
unpack_input = msgspec.msgpack.Decoder(Input).decode
unpack_derived = msgspec.msgpack.Decoder(Derived).decode
to_json = msgspec.json.Encoder().encode
derived_from_json = msgspec.json.Decoder(Derived).decode
input_from_json = msgspec.json.Decoder(Input).decode
