"""``python -m tests.mutations [words]``: takes one guard after the other out of a copy, and shows which test notices.

With words, only the mutations whose names hold one of them. Exit code 1 if a mutation survives or does not apply.
"""

import sys

from .catalogue import MUTATIONS
from .running import Verdict, failure_without_mutation, verdict_on

_BASELINE_LIMIT = 600.0
_WIDTH = 60


def main(words: list[str]) -> int:
    chosen = [one for one in MUTATIONS if not words or any(word in one.name for word in words)]
    if not chosen:
        print(f"No mutation of a name with {' or '.join(words)}.", file=sys.stderr)
        return 2
    print(f"First the tests of {len(chosen)} mutations on the code as it is ...", flush=True)
    if failure := failure_without_mutation([test for one in chosen for test in one.tests], _BASELINE_LIMIT):
        print(failure, "The tests fail without any mutation; repair them first.", sep="\n", file=sys.stderr)
        return 2
    print(f"{'mutation':{_WIDTH}} | {'s':>4} | caught by", flush=True)
    verdicts = []
    for one in chosen:
        verdicts.append(verdict_on(one))
        print(_row(one.name, verdicts[-1]), flush=True)
    caught = sum(1 for verdict in verdicts if verdict.caught_by)
    seconds = sum(verdict.seconds for verdict in verdicts)
    print(f"{caught} of {len(chosen)} caught, {seconds:.0f} s in all, the slowest {_slowest(verdicts):.0f} s")
    return 0 if caught == len(chosen) else 1


def _row(name: str, verdict: Verdict) -> str:
    return f"{name:{_WIDTH}} | {verdict.seconds:4.1f} | {verdict.caught_by or verdict.trouble}"


def _slowest(verdicts: list[Verdict]) -> float:
    return max(verdict.seconds for verdict in verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
