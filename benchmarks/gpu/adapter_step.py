"""What a step of APGC at g = 16 costs on a GPU over one of BSA, on BigGAN-128: `python -m benchmarks.gpu.adapter_step`.

`benchmarks.adapter_step` in float32 and in bfloat16, about a minute; `--device cpu --rounds 1` shows that it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch

from smallgan.core.device import choose_device, describe_device


def main() -> int:
    """Run both and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.adapter_step", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", default="50")
    parser.add_argument("--precisions", default="fp32,bf16")
    args = parser.parse_args()
    device = choose_device(args.device)
    print(f"{describe_device(device)}, torch {torch.__version__}, median of {args.rounds} rounds", flush=True)
    for precision in args.precisions.split(","):
        command = [sys.executable, "-m", "benchmarks.adapter_step", "--device", args.device, "--rounds", args.rounds]
        subprocess.run([*command, "--precision", precision], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
