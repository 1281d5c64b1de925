"""The border between pixels and images, and the order of batches."""

import numpy as np
import pytest
import torch

from smallgan.data.images import ImageBatches, grid, to_images, to_pixels

CPU = torch.device("cpu")


def numbered(count):
    """Images that are all one level: image k has level k."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 3)).copy()


def levels(batch):
    return [round((value.item() + 1) * 127.5) for value in batch.images[:, 0, 0, 0]]


def test_every_level_survives_the_way_there_and_back():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    images = to_images(torch.from_numpy(pixels))
    assert images.min() == -1
    assert images.max() == 1
    assert images.shape == (1, 3, 16, 16)
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(to_pixels(images), pixels)


def test_to_pixels_clips():
    assert to_pixels(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1)).ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize("batch_size", [3, 7, 10, 25])
def test_after_whole_epochs_every_image_was_used_equally_often(batch_size):
    batches = ImageBatches(numbered(10), batch_size, seed=3, device=CPU)
    drawn = [level for number in range(10) for level in levels(batches.batch(number))]
    for epoch in range(len(drawn) // 10):
        assert sorted(drawn[epoch * 10 : epoch * 10 + 10]) == list(range(10))


def test_a_batch_depends_on_seed_and_number_alone():
    walked, asked = (ImageBatches(numbered(10), 4, seed=0, device=CPU) for _ in range(2))
    sequence = [levels(walked.batch(number)) for number in range(9)]
    assert levels(asked.batch(8)) == sequence[8]
    assert levels(asked.batch(2)) == sequence[2]
    assert levels(ImageBatches(numbered(10), 4, seed=1, device=CPU).batch(0)) != sequence[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_batches_are_the_same_whether_the_set_lies_there_or_in_memory(monkeypatch):
    pixels, gpu = np.random.default_rng(1).integers(0, 256, (50, 8, 8, 3), np.uint8), torch.device("cuda")
    there = ImageBatches(pixels, 7, seed=0, device=gpu)
    monkeypatch.setattr("smallgan.data.images.GPU_SHARE", 0)
    elsewhere = ImageBatches(pixels, 7, seed=0, device=gpu)
    assert (there.pixels.device.type, elsewhere.pixels.device.type) == ("cuda", "cpu")
    for number in (0, 9):
        assert all(torch.equal(*each) for each in zip(there.batch(number), elsewhere.batch(number), strict=True))


def test_grid_lays_tiles_row_by_row_with_white_between():
    sheet = grid(numbered(5), columns=3, gap=1)
    assert sheet.shape == (4 + 1 + 4, 4 * 3 + 2, 3)
    assert sheet[0, 4].tolist() == [255] * 3
    assert sheet[0, 5].tolist() == [1] * 3
    assert sheet[5, 0].tolist() == [3] * 3
    assert sheet[5, 10].tolist() == [255] * 3  # the empty sixth place


def test_balanced_batches_draw_rare_classes_as_often_and_name_the_images_they_drew():
    labels = np.array([0] * 9 + [1], np.int64)
    batches = ImageBatches(numbered(10), 200, seed=0, device=CPU, labels=labels, balanced=True)
    batch = batches.batch(3)
    assert 70 < int(batch.labels.sum()) < 130  # of 200 draws, half each
    assert set(batch.indices[batch.labels == 1].tolist()) == {9}
    assert set(batch.indices[batch.labels == 0].tolist()) == set(range(9))
    assert levels(batch) == [int(numbered(10)[index, 0, 0, 0]) for index in batch.indices]
    assert torch.equal(batches.batch(3).indices, batch.indices)
