"""A policy file in a recipe: mixed in memory as written on disk, and part of what a run began with."""

import json

import pytest
import torch

from augment.errors import UsageError
from smallgan.core.run_dir import RunDir
from smallgan.tables.recipe import load_recipe
from smallgan.training.data import load_data
from smallgan.training.find_run import refuse_other_data


def loaded(tiny_set, policy):
    overrides = {"data.source": str(tiny_set), "data.size": 32, "augment.policy": str(policy)}
    return load_data(load_recipe(None, overrides), torch.device("cpu"))


def test_a_run_goes_on_only_with_the_policy_file_that_it_began_with(tiny_set, tmp_path):
    policy = tmp_path / "mild.yaml"
    policy.write_text("transforms: {grain: {GaussNoise: {std_range: [0.1, 0.2]}}}")
    data = loaded(tiny_set, policy)
    assert data.summary["origins"] == {"original": 12, "augmented": 12}
    assert data.summary["custom_transforms"]["grain"][0]["transform"]["std_range"] == [0.1, 0.2]
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.data.write_text(json.dumps(data.summary))
    refuse_other_data(run, loaded(tiny_set, policy).summary)
    policy.write_text("transforms: {grain: {GaussNoise: {std_range: [0.1, 0.3]}}}")
    with pytest.raises(UsageError, match="custom_transforms was"):
        refuse_other_data(run, loaded(tiny_set, policy).summary)
    with pytest.raises(UsageError, match="custom_transforms was"):
        refuse_other_data(run, loaded(tiny_set, "contrast").summary)
