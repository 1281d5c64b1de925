"""Transfers on a GPU in one table: BSA, APGC at g = 4, 8, 16, fine-tuning, a DCGAN; a minute and three seeds each.

python -m benchmarks.gpu.transfers FOLDER [--count 25] [--out FOLDER] [options of benchmarks.transfer_table]

Eighteen runs, 22 minutes or so; a piece ends after nine, and the same command goes on. The table is printed last.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from augment.errors import SmallganError
from benchmarks import transfer_table

DEFAULTS = {
    "--methods": "bsa,apgc-4,apgc-8,apgc-16,finetune,dcgan",
    "--minutes": "1",
    "--piece-minutes": "9",
    "--device": "cuda",
}


def main(arguments: Sequence[str]) -> int:
    """Fill in what a GPU asks for, where it is not given, and make the table."""
    if not arguments or "--help" in arguments:
        print(__doc__)
    # Ours stand first: of an option that is given twice, argparse takes the last.
    filled = [word for option in DEFAULTS.items() for word in option]
    return transfer_table.main([*filled, "--set", "train.precision=bf16", *arguments])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SmallganError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
