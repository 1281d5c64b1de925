"""What a study would take, in figures and in sentences."""

import re

from tiny_study import TINY

from smallgan.study.estimate import estimate, estimate_text
from smallgan.tables.recipe import load_recipe

POLICIES = [{"name": name, "augment.policy": name} for name in ("none", "hflip", "gan")]


def test_a_dry_run_counts_trials_images_and_minutes_and_writes_nothing(tiny_set, tmp_path):
    folder = tmp_path / "study"
    recipe = load_recipe(None, TINY | {"data.source": str(tiny_set), "grid": POLICIES, "seeds": [1, 2]})
    found = estimate(recipe, out=folder, device="cpu", log=lambda _line: None)
    assert not folder.exists()
    assert (found["num_runs"], len(found["runs"]), len(found["seconds_per_step"])) == (6, 6, 1)
    trial = found["runs"][2]
    assert (trial["variant"], trial["num_images"], trial["steps"], trial["num_images_seen"]) == ("gan", 24, 4, 16)
    assert trial["needs"].endswith("00-none-seed1")
    assert trial["num_snapshots"] == 3
    assert found["minutes"] >= 0
    assert found["memory_mb"] > 0
    said = estimate_text(found).splitlines()
    assert said[0] == f"Would make 6 runs in {folder} (3 variants, 2 seeds), 4 steps each, and write the page."
    assert re.match(r"Takes about \S+ on cpu, .*, one run after another, and \d+\.\d GiB of memory", said[1])
    assert said[-1] == "No run was made. --json lists the runs."
    finished = found | {"runs": [row | {"stages": []} for row in found["runs"]]}
    assert estimate_text(finished) == f"All 6 runs of {folder} are done: only the page would be written."
