"""Keys of a recipe whose trials take a moment each."""

TINY = {
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.steps": 4,
    "train.report_every": 2,
    "train.snapshot_every": 2,
}
