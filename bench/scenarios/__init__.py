"""All that is measured, in the order of the tables."""

from ..scenario import Scenario
from . import drain

ALL: tuple[Scenario, ...] = (*drain.SCENARIOS,)
