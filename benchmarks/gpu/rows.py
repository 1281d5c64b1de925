"""What waits for a GPU, in order of worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PYTHON = "python"  # The interpreter that runs `benchmarks.gpu`
FACES, REFERENCE, FACE50 = "{data}/celeba/train-1000", "{data}/celeba/reference-1000", "{data}/face-50"
CALTECH = "{data}/source64/caltech101.zip"


@dataclass(frozen=True)
class Waiting:
    """A command, and what its result is for."""

    name: str
    purpose: str
    command: str
    """As typed; {data} is the folder of --data, and {features} the options of the user's own network.

    Exit code 0: done; 3: a piece is done, the same command goes on.
    """

    @property
    def paths(self) -> list[str]:
        """Files and folders below {data} that it reads."""
        return [part for part in self.command.split() if part.startswith("{data}")]


def rows() -> Iterator[Waiting]:
    """Yield all rows, the most worth first."""
    module = f"{PYTHON} -m benchmarks.gpu"
    train = f"{PYTHON} -m smallgan train {FACES} --device cuda"
    yield Waiting("parity", "a GPU trains what the CPU trains: fp32, two runs, resume", f"{module}.parity")
    yield Waiting(
        "steps-dcgan-64", "at least 4 times the plain DCGAN's speed, goal 8", f"{module}.steps --only dcgan-64"
    )
    yield Waiting("steps-dcgan-128", "the same at 128 px", f"{module}.steps --only dcgan-128")
    yield Waiting(
        "steps-biggan-64", "a BigGAN's step: plain, compiled, as CUDA graphs", f"{module}.steps --only biggan-64"
    )
    yield Waiting(
        "steps-fastgan-256",
        "FastGAN's step at 256 px: plain, compiled, as CUDA graphs",
        f"{module}.steps --only fastgan-256",
    )
    yield Waiting("adapter-step", "a step of APGC at g = 16 over one of BSA on BigGAN-128", f"{module}.adapter_step")
    yield Waiting(
        "inception",
        "features against torch-fidelity, with the same random weights",
        f"{PYTHON} -m benchmarks.inception {FACES} --device cuda --batch-size 128",
    )
    yield Waiting("kmmd", "KMMD and KID of 50,000 images on that machine's CPU", f"{PYTHON} -m benchmarks.large_scores")
    yield Waiting(
        "faces-64",
        "what `train` chooses on a GPU, five minutes",
        f"{train} --minutes 5 --out runs/bench-gpu/faces-64 --set data.holdout=0.2",
    )
    yield Waiting(
        "faces-64-score",
        "its KID against faces used for nothing else, beside docs/quality.md",
        f"{PYTHON} -m smallgan score runs/bench-gpu/faces-64 --real {REFERENCE} --metrics kid,kmmd,copies "
        "--num-fake 1000",
    )
    yield Waiting(
        "faces-256",
        "FastGAN at 256 px, eight minutes",
        f"{train} --size 256 --minutes 8 --out runs/bench-gpu/faces-256",
    )
    yield Waiting("pretrain64", "the 64 px source of transfers", f"{module}.pretrain64 {CALTECH}")
    for name, counts in {"face-50": (25, 50), "anime-50": (25, 50), "passion-flower-50": (25, 50)}.items():
        for count in counts:
            yield Waiting(
                f"transfers-{name}-{count}",
                "transfers at g = 4, 8 and 16 beside BSA, fine-tuning and a DCGAN",
                f"{module}.transfers {{data}}/{name} --count {count} {{features}}",
            )
    wide = " ".join(f"{{data}}/source64/{name}.zip" for name in ("caltech101", "dogs", "flowers102", "imagenette"))
    yield Waiting(
        "pretrain64-wide",
        "the wider source, for measurement only: it is not exported",
        f"{module}.pretrain64 {wide} --out runs/pretrain64-wide",
    )
    yield Waiting(
        "transfers-wide",
        "how much the source matters",
        f"{module}.transfers {FACE50} --count 25 --pretrained runs/pretrain64-wide/run --out runs/transfer-wide "
        "{features}",
    )
    yield Waiting(
        "study-64",
        "the augmentation study: twelve variants, five seeds, 1,000 faces held out",
        f"{PYTHON} -m smallgan run da-study-celeba --device cuda --set data.source={{data}}/celeba/train-1000 "
        "--set data.holdout=0.5 --set train.precision=bf16 --out runs/bench-gpu/study-64",
    )
    yield Waiting(
        "study-128",
        "the same at 128 px",
        f"{PYTHON} -m smallgan run da-study-celeba --device cuda --set data.source={{data}}/celeba/train-1000 "
        "--set data.holdout=0.5 --set train.precision=bf16 --set data.size=128 --out runs/bench-gpu/study-128",
    )
