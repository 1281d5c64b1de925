"""What tests of downstream studies share: a small recipe, a study of it, and what its files say."""

from smallgan.core.downstream_dir import DownstreamDir
from smallgan.downstream.run import run_downstream
from smallgan.tables.recipe import load_recipe

FAST = {"name": "resnet", "width": 4, "batch_size": 8, "steps": 4}
GAN = {
    "data.size": 32,
    "model.base_width": 8,
    "train.steps": 2,
    "train.batch_size": 4,
    "train.snapshot_every": 2,
    "score.metrics": [],
}
EARLY = {"downstream.classifier": {**FAST, "validation": 0.25}}
PER_CLASS = {**GAN, "model.name": "dcgan", "downstream.generators": "per-class"}
BIGGAN = {**GAN, "model.name": "biggan", "model.z_dim": 20}


def recipe(source, policies=("none", "hflip"), seeds=(0, 1), **more):
    values = {"data.source": str(source), "downstream.classifier": FAST, "downstream.size": 16, "seeds": list(seeds)}
    return load_recipe(None, values | {"grid": {"augment.policy": list(policies)}} | more)


def quiet(_line):
    pass


def study(source, out, *arguments, **keywords):
    return run_downstream(recipe(source, *arguments, **keywords), out=out, device="cpu", log=quiet)


def files_of(folder):
    """Return what a study says, but for its log and its page."""
    found = DownstreamDir(folder)
    paths = [found.split, found.results, found.table, found.trial_table, *sorted(found.trials.iterdir())]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
