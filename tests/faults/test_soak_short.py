"""A few seconds of the soak, always with the same seed."""

from pathlib import Path

from tests.faults.chaos import Doses
from tests.faults.crowd import CrowdOptions
from tests.faults.soak import NAMESPACE, SoakOptions, soak

OPTIONS = SoakOptions(
    seconds=8,
    tasks=300,
    lost_replies=50,
    seed=3,
    crowd=CrowdOptions(namespace=NAMESPACE, trees=2, threads=3, processes=1),
    doses=Doses(
        child_kills=4, tree_kills=2, server_kills=2, zombies=2, cuts=3, torn_replies=2, refusals=1, disturbances=3,
        script_flushes=2, client_kills=2,
    ),
)  # fmt: skip


def test_a_short_soak_loses_nothing_and_records_nothing_twice(tmp_path: Path) -> None:
    verdict = soak(OPTIONS, tmp_path)

    assert verdict.is_good, "\n".join(verdict.lines())
