"""What colours, sharpness and file size tell."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.methods.photometry import STATISTICS, file_statistics
from helpers.methods.subcategories import image_features


def drawn(count=5, side=16):
    """Noise over the upper half, of another range in every channel, and grey below."""
    images = torch.full((count, side, side, 3), 128, dtype=torch.uint8)
    for channel, top in enumerate((40, 120, 250)):
        part = torch.randint(top, (count, side // 2, side), generator=torch.manual_seed(channel))
        images[:, : side // 2, :, channel] = part.byte()
    return images


def column(images, name):
    return file_statistics(images)[:, STATISTICS.index(name)]


def test_each_column_is_what_its_name_says():
    images = drawn()
    found = file_statistics(images)
    assert found.shape == (5, len(STATISTICS))
    assert found.dtype == torch.float64
    shares = images.numpy().astype(np.float64) / 255
    assert np.allclose(found[:, :3], shares.mean((1, 2)), rtol=1e-12)
    assert np.allclose(found[:, 3:6], shares.std((1, 2)), rtol=1e-12)
    for name in ("saturation", "edge density"):
        assert column(images, name).equal(image_features(images)[name])


def test_the_file_is_a_jpeg_of_quality_75_with_colour_at_half_resolution():
    images, sizes = drawn(), []
    for pixels in images.numpy():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=75, subsampling=2)
        sizes.append(len(file.getvalue()))
    assert (column(images, "bytes per pixel") * 256).tolist() == pytest.approx(sizes)


def test_noise_takes_more_room_than_what_is_smooth():
    rough = drawn(side=64)
    smooth = rough.float().mean((1, 2), keepdim=True).byte().expand(-1, 64, 64, -1)
    assert (column(rough, "bytes per pixel") > 1.5 * column(smooth, "bytes per pixel")).all()
    assert (column(smooth, "red spread") == 0).all()


def test_an_image_has_the_same_numbers_in_any_company():
    images = drawn(600, 4)  # more than one block
    assert file_statistics(images)[[0, 599]].equal(file_statistics(images[[0, 599]]))


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 4, 4), (2, 3, 4, 4), (2, 1, 4, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="images"):
        file_statistics(torch.zeros(shape, dtype=torch.uint8))
