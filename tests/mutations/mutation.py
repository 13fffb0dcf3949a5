"""What a mutation is: one guard taken out of the code, and the tests that must notice."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """``old`` stands exactly once in ``file`` and becomes ``new``. ``tests`` are pytest's names, below ``tests/``."""

    name: str
    why: str  #: what goes wrong without the guard
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied_to(self, root: Path) -> str:
        """The text of the file with the mutation. ``ValueError`` if its place is not found, or not the only one."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (times := text.count(self.old)) != 1:
            raise ValueError(f"the old text stands {times} times in {self.file}, not once")
        return text.replace(self.old, self.new)
