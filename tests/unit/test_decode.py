"""Image files of every mode and size become square RGB."""

import io

import numpy as np
import pytest
import torch
import torchvision.io
from PIL import Image

from helpers.datasets.decode import decode, decode_files

RED = (200, 40, 40)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode, colour, size=(8, 8)):
    return Image.new(mode, size, colour)


def palette():
    image = plain("RGB", RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert image.mode == "P"
    return image


def deep_grey(value):
    return Image.fromarray(np.full((8, 8), value, dtype=np.uint16))


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        pytest.param(encoded(plain("L", 90)), (90, 90, 90), id="grey"),
        pytest.param(encoded(plain("L", 90), "JPEG"), (90, 90, 90), id="grey JPEG"),
        pytest.param(encoded(plain("1", 1)), (255, 255, 255), id="bits"),
        pytest.param(encoded(palette()), RED, id="palette"),
        pytest.param(encoded(palette(), "GIF"), RED, id="GIF"),
        pytest.param(encoded(plain("RGBA", (*RED, 0))), (255, 255, 255), id="transparent"),
        pytest.param(encoded(plain("RGBA", (*RED, 255))), RED, id="opaque"),
        pytest.param(encoded(plain("LA", (90, 255))), (90, 90, 90), id="grey and alpha"),
        pytest.param(
            encoded(palette(), transparency=0), (255, 255, 255), id="palette, see-through"
        ),
        pytest.param(encoded(plain("CMYK", (0, 255, 255, 0)), "JPEG"), (254, 0, 0), id="CMYK JPEG"),
        pytest.param(encoded(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0), id="CMYK TIFF"),
        pytest.param(encoded(deep_grey(23_000)), (89, 89, 89), id="16-bit grey"),
        pytest.param(encoded(deep_grey(23_000), "TIFF"), (89, 89, 89), id="16-bit grey TIFF"),
        pytest.param(encoded(plain("RGB", RED), "BMP"), RED, id="BMP"),
        pytest.param(encoded(plain("RGB", RED), "WEBP", lossless=True), RED, id="WebP"),
    ],
)
def test_every_mode_becomes_rgb(data, colour):
    pixels, size = decode(data, 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == torch.uint8
    assert size == (8, 8)
    assert (pixels.int() - torch.tensor(colour)).abs().max() <= 2


def thirds():
    """12x4 pixels, from left to right red, green and blue."""
    image = np.zeros((4, 12, 3), np.uint8)
    for third in range(3):
        image[:, 4 * third : 4 * third + 4, third] = 255
    return Image.fromarray(image)


def test_the_centre_of_the_longer_side_is_kept():
    pixels, size = decode(encoded(thirds()), 4)
    assert size == (12, 4)
    assert (pixels == torch.tensor([0, 255, 0])).all()
    pixels, size = decode(encoded(thirds().transpose(Image.Transpose.ROTATE_90)), 4)
    assert size == (4, 12)
    assert (pixels == torch.tensor([0, 255, 0])).all()


def test_the_shorter_side_is_resized_without_aliasing():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = decode(encoded(Image.fromarray(stripes)), 8)
    assert pixels.shape == (8, 8, 3)
    assert (pixels.int() - 128).abs().max() <= 6
    pixels, _ = decode(encoded(plain("RGB", RED, (5, 3))), 8)
    assert (pixels == torch.tensor(RED)).all()


def test_the_camera_orientation_is_applied_by_both_decoders(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees clockwise
    image = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 16, 0).repeat(8, 1))
    data = encoded(image.resize((32, 16), Image.Resampling.NEAREST), "JPEG", exif=exif)
    fast, size = decode(data, 16)
    assert size == (16, 32)
    assert fast[0].float().mean() < 30  # what was left is on top
    assert fast[-1].float().mean() > 225
    monkeypatch.delattr(torchvision.io, "decode_jpeg")
    slow, size = decode(data, 16)
    assert size == (16, 32)
    assert (slow.int() - fast.int()).abs().max() <= 2


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size():
    noise = np.random.default_rng(0).integers(0, 255, (800, 1000, 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize((1000, 800), box=(0, 0, 40, 32))
    noisy = Image.fromarray((np.asarray(smooth) // 2 + noise // 2).astype(np.uint8))
    data = encoded(noisy, "JPEG", quality=95)
    assert len(data) > 1 << 18
    pixels, size = decode(data, 16)
    exact, _ = decode(encoded(noisy), 16)
    assert size == (1000, 800)
    assert (pixels.int() - exact.int()).abs().float().mean() < 3


def test_unreadable_files_are_listed_and_the_others_stay_in_order():
    whole = encoded(plain("RGB", RED, (64, 64)), "JPEG")
    files = {f"{i}.png": encoded(plain("L", i)) for i in range(300)}
    files["7.png"] = b"no image at all"
    files["8.png"] = b""
    files["9.png"] = whole[: len(whole) // 2]
    del files["10.png"]
    found = decode_files(files.__getitem__, [f"{i}.png" for i in range(300)], 8, "greys")
    assert found.rows == [i for i in range(300) if i not in (7, 8, 9, 10)]
    assert found.images[:, 0, 0, 0].tolist() == [i % 256 if i < 256 else 255 for i in found.rows]
    assert [line.split()[0] for line in found.unreadable] == ["7.png", "8.png", "9.png", "10.png"]
    assert found.unreadable[0] == "7.png (not an image)"
    assert found.sizes[0] == (8, 8, len(files["0.png"]))
    assert len(set(found.hashes)) == 256 - 4


def test_floating_point_pixels_are_unreadable_rather_than_guessed():
    image = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    found = decode_files(lambda _: encoded(image, "TIFF"), ["a.tif"], 8, "floats")
    assert found.unreadable == ["a.tif (pixels are floating-point numbers of unknown range)"]
