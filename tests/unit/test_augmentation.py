"""Augmentation changes each image as it says, from the generator alone."""

import numpy
import pytest
import torch

from helpers.network.augmentation import augment, crop, cutout, flip, light, rotate, shear, shift


@pytest.fixture
def images():
    return torch.rand(256, 3, 16, 12, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_flip_mirrors_about_half(images, generator):
    flipped = flip(images, generator)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    untouched = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ untouched).all()
    assert 100 < mirrored.sum() < 156


def test_shift_moves_by_every_distance_and_reflects_the_edges(images, generator):
    moved = shift(images, generator, 2).numpy()
    padded = numpy.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    seen = set()
    for row, image in enumerate(moved):
        seen |= {
            (down, right)
            for down in range(5)
            for right in range(5)
            if numpy.array_equal(image, padded[row, :, down : down + 16, right : right + 12])
        }
        assert seen
    assert seen == {(down, right) for down in range(5) for right in range(5)}


def test_each_shifted_image_is_its_own(generator):
    numbered = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 3, 8, 8)
    torch.testing.assert_close(shift(numbered, generator, 3), numbered.contiguous())


def test_cutout_paints_one_square_wherever_its_centre_fits(images, generator):
    hidden = (cutout(images, generator, 4) != images).all(1)
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert (hidden.flatten(1).sum(1) == heights * widths).all()
    assert set(heights.tolist()) == {2, 3, 4}
    assert set(widths.tolist()) == {2, 3, 4}
    assert hidden.any(0).all()
    assert (cutout(images, generator, 4)[:, 0][hidden] == 0.5).any()


@pytest.fixture
def ramps():
    """Images whose first channel is the column and whose second the row of a pixel, in -1..1."""
    across, down = (torch.arange(1 - n, n, 2) / n for n in (48, 64))
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1])
    return torch.cat([grid, torch.ones(1, 64, 48)]).expand(200, 3, 64, 48)


def spans(values, axis):
    """By how much of the whole `values` (N, H, W) rise along an axis, as a share of it."""
    steps = values.diff(dim=axis)
    inner = steps[:, 8:-8, 8:-8].flatten(1).median(1).values
    return inner * values.shape[axis] / 2


def test_a_crop_keeps_the_area_and_the_shape_that_it_says(ramps, generator):
    enlarged = crop(ramps, generator, 40)
    width, height = spans(enlarged[:, 0], 2), spans(enlarged[:, 1], 1)
    assert ((width * height > 0.395) & (width * height < 1.001)).all()
    free = (width < 0.999) & (height < 0.999)
    assert ((width / height)[free] > 0.745).all()
    assert ((width / height)[free] < 1.345).all()
    assert (width * height).min() < 0.5
    # Nothing from outside of the image, and parts from everywhere.
    assert (enlarged[:, 2, 1:-1, 1:-1] > 0.999).all()
    assert enlarged[:, 0, 32, 24].min() < -0.1
    assert enlarged[:, 0, 32, 24].max() > 0.1


def test_a_rotation_keeps_distances_and_turns_both_ways(ramps, generator):
    turned = rotate(ramps, generator, 20)
    # Along a row of the turned image, in pixels of the original.
    right, down = turned[:, 0, 32, 20:28].diff() * 24, turned[:, 1, 32, 20:28].diff() * 32
    torch.testing.assert_close((right**2 + down**2).sqrt(), torch.ones_like(right))
    angle = torch.atan2(down, right).rad2deg().mean(1)
    assert angle.abs().max() < 20
    assert angle.min() < -15
    assert angle.max() > 15
    assert (turned[:, 2, 0, 0] < 0.01).any(), "corners from outside are black"


def test_a_shear_slants_columns_and_scales(ramps, generator):
    changed = shear(ramps, generator, 10)
    scale = 1 / (changed[:, 0, 32, 20:28].diff() * 24).mean(1)
    assert ((scale > 0.799) & (scale < 1.201)).all()
    assert scale.min() < 0.85
    assert scale.max() > 1.15
    torch.testing.assert_close(changed[:, 1, 32, 20], changed[:, 1, 32, 27])
    slant = (changed[:, 0, 28:36, 24].diff() * 24).mean(1) * scale
    assert (slant.atan().rad2deg().abs() < 10).all()
    assert slant.atan().rad2deg().max() > 7


def test_light_changes_brightness_contrast_and_colour_and_no_place(images, generator):
    changed = light(images, generator, 40)
    assert changed.min() >= 0
    assert changed.max() <= 1
    ratio = changed.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert ratio.min() < 0.7
    assert ratio.max() > 1.2
    spread = changed.std((2, 3)).mean(1) / images.std((2, 3)).mean(1)
    assert spread.min() < 0.5
    grey = images[:, :1].expand_as(images) / 2
    still = light(grey, generator, 40)
    # What has no colour gets none, and brighter pixels stay brighter.
    torch.testing.assert_close(still, still[:, :1].expand_as(still))
    first, second = grey[:, 0, 0, 0] < grey[:, 0, 5, 5], still[:, 0, 0, 0] <= still[:, 0, 5, 5]
    assert (first <= second).all()


def test_a_crop_of_more_than_everything_is_refused(images, generator):
    with pytest.raises(ValueError, match="1 to 100"):
        crop(images, generator, 101)


def test_a_recipe_repeats_itself_and_leaves_the_batch_and_global_state_alone(images):
    before, state = images.clone(), torch.get_rng_state()
    spec = ("flip", "shift2", "cutout8", "crop50", "rotate20", "shear10", "light40")
    first, second, other = (
        augment(images, spec, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_channels_last_batches_stay_so_and_change_alike(images):
    spec = ("flip", "shift2", "cutout4")
    plain = augment(images, spec, torch.Generator().manual_seed(1))
    last = images.to(memory_format=torch.channels_last)
    last = augment(last, spec, torch.Generator().manual_seed(1))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, plain)


def test_changes_are_made_in_the_order_given(images):
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    by_hand = shift(flip(images, generators[0]), generators[0], 3)
    assert torch.equal(augment(images, ("flip", "shift3"), generators[1]), by_hand)
    assert augment(images, (), generators[0]) is images


@pytest.mark.parametrize("name", ["rotate", "shift", "shift0", "flip2", "cutout-3", ""])
def test_unknown_names_are_refused_with_the_known_ones(images, generator, name):
    with pytest.raises(ValueError, match="there are: flip, shiftN and cutoutN"):
        augment(images, ("flip", name), generator)


def test_a_string_is_no_tuple(images, generator):
    with pytest.raises(ValueError, match="not the string 'flip'"):
        augment(images, "flip", generator)


def test_images_too_small_for_a_shift(images, generator):
    with pytest.raises(ValueError, match="16x12 px cannot be shifted by 12 px"):
        shift(images, generator, 12)
