"""Every metric on made-up features whose right answer is a formula on paper: does this machine get it right?

The cases stand beside each metric. No expected answer was computed by the code under test, and sets reach over the
borders of blocks, so that sums over blocks are checked too.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from augment.errors import FailedError
from smallgan.tables.dotted import load
from smallgan.tables.metrics import METRICS


@dataclass(frozen=True)
class Check:
    """One metric on one made-up case."""

    metric: str
    case: str
    expected: float
    found: float
    tolerance: float  # Absolute

    @property
    def passed(self) -> bool:
        """Whether the answer is right; NaN never is."""
        return abs(self.found - self.expected) <= self.tolerance

    def line(self) -> str:
        """Return the check as a line of `smallgan score --check`."""
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.metric:16}  found {self.found:.9f}  expected {self.expected:.9f}  {self.case}"


def run_checks() -> list[Check]:
    """Return all checks, in the order of the table of metrics. A case that raises counts as NaN."""
    checks = []
    for name, case in ((row.name, case) for row in METRICS for case in load(row.checks)()):
        try:
            found = float(case.compute())
        except Exception:  # whatever a broken library raises, the check has failed and the others still matter
            found = math.nan
        checks.append(Check(name, case.text, float(case.expected), found, 1e-9 * max(1.0, abs(float(case.expected)))))
    return checks


def checks_text(checks: Sequence[Check], *, as_json: bool) -> str:
    """Return all checks for a machine, or a line each and, where none failed, a last line that says so."""
    if as_json:
        return json.dumps([asdict(check) | {"passed": check.passed} for check in checks], indent=2)
    passed = [f"all {len(checks)} checks passed"] if all(check.passed for check in checks) else []
    return "\n".join([*(check.line() for check in checks), *passed])


def refuse_failed(checks: Sequence[Check]) -> None:
    """Raise FailedError naming the metrics that failed, if any did."""
    failed = [check.metric for check in checks if not check.passed]
    if failed:
        raise FailedError(
            f"{len(failed)} of {len(checks)} checks failed ({', '.join(dict.fromkeys(failed))}): do not trust scores "
            "from this installation; reinstall numpy and scipy"
        )
