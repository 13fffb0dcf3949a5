"""All that is measured, in the order of the tables."""

from ..scenario import Scenario
from . import boot, cancel, cost, drain, eta, fairness, growth, ideal, latency, limited, recovery, sending, sockets, web

ALL: tuple[Scenario, ...] = (
    *drain.SCENARIOS,
    *ideal.SCENARIOS,
    *sending.SCENARIOS,
    *latency.SCENARIOS,
    *eta.SCENARIOS,
    *cancel.SCENARIOS,
    *cost.SCENARIOS,
    *boot.SCENARIOS,
    *recovery.SCENARIOS,
    *growth.SCENARIOS,
    *limited.SCENARIOS,
    *fairness.SCENARIOS,
    *web.SCENARIOS,
    *sockets.SCENARIOS,
)
