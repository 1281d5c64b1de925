"""A study of 40 trials on a Ray cluster of two nodes on this machine, one killed in the middle, and by one process.

`python -m benchmarks.ray_study [--folder DIR]` needs the extra [ray]. It makes both studies from 25 drawn images, fails
where they differ in a score, a weight, a picture or a line of the page, and prints how long each took. The same folder
again goes on.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smallgan.core.resources import sample_set
from smallgan.core.run_dir import RunDir
from smallgan.core.study_dir import StudyDir

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

NUM_CPUS = 1  # Of each node
KILL_AFTER = 8  # Trials that have begun
STEPS = 12
RECIPE = f"""
name: forty
data: {{source: %s, size: 32, limit: 25, holdout: 0}}
model: {{base_width: 8}}
train: {{batch_size: 4, steps: {STEPS}, report_every: 4, snapshot_every: 4}}
score: {{num_fake: 8}}
sample: {{count: 2, interpolate: 0}}
seeds: [1, 2]
grid:
  augment.policy: [none, hflip]
  method.lr_g: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 7.0e-4, 8.0e-4, 9.0e-4, 1.0e-3]
"""
BEGUN = re.compile(r"\[(.+)\] started on .* \(Ray node (\w+)\)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="Where the studies are made; default: a temporary one.")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measured(folder), indent=2))


def measured(folder: Path) -> dict[str, object]:
    from same_study import assert_same

    recipe = folder / "forty.yaml"
    recipe.write_text(RECIPE % sample_set().as_posix(), encoding="utf-8")
    words = [sys.executable, "-m", "smallgan", "run", str(recipe), "--device", "cpu", "--out"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    whole, spread = StudyDir(folder / "one" / "study"), StudyDir(folder / "ray" / "study")
    began = time.monotonic()
    told = on_two_nodes([*words, str(spread.path)], environment, spread)
    by_ray = time.monotonic()
    subprocess.run([*words, str(whole.path)], check=True, env=environment, stderr=subprocess.DEVNULL)
    by_one = time.monotonic()
    assert_same(whole, spread)
    return {
        "trials": len(spread.trials()),
        **told,
        "seconds on Ray, its start included": round(by_ray - began),
        "seconds by one process": round(by_one - by_ray),
        "scores, weights, pictures, page": "the same",
    }


def on_two_nodes(words: list[str], environment: dict[str, str], study: StudyDir) -> dict[str, object]:
    """Run a command on two nodes, of which the second is killed while it works on a trial."""
    os.environ |= environment
    from ray.cluster_utils import Cluster

    node = {"num_cpus": NUM_CPUS, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    second = cluster.add_node(num_cpus=NUM_CPUS, object_store_memory=80 << 20)
    try:
        driver = subprocess.Popen([*words, "--ray", cluster.address], env=environment)
        while driver.poll() is None:
            begun = begun_on(study)
            here = [label for label, name in begun if second.node_id.startswith(name)]
            if len(begun) >= KILL_AFTER and here and is_in_the_middle(study, here[-1]):
                cluster.remove_node(second, allow_graceful=False)
                break
            time.sleep(0.05)
        if driver.wait():
            raise SystemExit("the study on Ray failed")
    finally:
        cluster.shutdown()
    begun = begun_on(study)
    labels, nodes = [label for label, _ in begun], [name for _, name in begun]
    again = [label for at, label in enumerate(labels) if label in labels[:at]]
    resumed = re.findall(
        r"resumed from (step \d+)", "".join(log.read_text("utf-8") for log in study.runs.glob("*/log.txt"))
    )
    return {
        "begun on each node": [nodes.count(name) for name in dict.fromkeys(nodes)],
        "begun again": again,
        "from": resumed,
    }


def is_in_the_middle(study: StudyDir, label: str) -> bool:
    """Whether a run has a checkpoint, and not its last."""
    trial = next(trial for trial in study.trials() if f"{trial.variant}, seed {trial.seed}" == label)
    return 0 < RunDir(study.run_of(trial)).last_step() < STEPS


def begun_on(study: StudyDir) -> list[tuple[str, str]]:
    """The label of each run that was begun, and the Ray node that it was begun on, in that order."""
    return BEGUN.findall(study.log.read_text(encoding="utf-8")) if study.log.is_file() else []


if __name__ == "__main__":
    main()
