"""The composition root: the one place that names concrete edges and plugs them into the core."""

from zmart_stream.app.compose.build import build
from zmart_stream.app.compose.edges import set_up_logs
from zmart_stream.app.compose.past import engine_of, replay_capture, scorers_of, verify_capture

__all__ = ["build", "engine_of", "replay_capture", "scorers_of", "set_up_logs", "verify_capture"]
