"""Build the set of the shipped generators: `python tools/pretraining_set.py CALTECH101.zip --out FOLDER`.

CALTECH101.zip holds `images/<class>/<name>.jpg` at 64 x 64 pixels. FOLDER gets one sub-folder a class: the photographs
as they lie in the archive, and beside them 100 pictures of each class of `drawn_classes`. The sample set's flowers,
their program and their seeds are not used. Classes named by --without stay out, so that transfers can be measured on
them. Then: `smallgan train FOLDER --recipe biggan32`, or `--recipe dcgan64`.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from drawn_classes import CLASSES, draw

from augment.core.files import make_folder, write_bytes
from augment.imaging.codec import encode_png

DRAWN_PER_CLASS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("caltech101", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=[], metavar="CLASS", help="as in Caltech-101: bonsai ketch")
    args = parser.parse_args()
    with zipfile.ZipFile(args.caltech101) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".jpg")):
            _, label, file_name = name.rsplit("/", 2)
            if label.removeprefix("caltech101-") in args.without:
                continue
            write_bytes(make_folder(args.out / label) / file_name, archive.read(name))
    for number, label in enumerate(CLASSES):
        draws = np.random.default_rng(np.random.SeedSequence([args.seed, number]))
        folder = make_folder(args.out / f"drawn-{label}")
        for picture in range(DRAWN_PER_CLASS):
            write_bytes(folder / f"{picture:03d}.png", encode_png(draw(label, draws)))


if __name__ == "__main__":
    main()
