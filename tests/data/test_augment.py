"""Augmentation: what each step does to pixels, and that an image becomes what its own draws say."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from zoo.config import specs
from zoo.core.errors import RecipeError
from zoo.data.augment import DEFAULT, DRAWS, NONE, ORIGINAL, AugmentSpec, augment, rare_findings, targeted_images

PRESETS = {"none": NONE, "default": DEFAULT, "original": ORIGINAL}


def one(image: np.ndarray, spec: AugmentSpec, targeted: bool = False, **drawn: float) -> np.ndarray:
    """An image changed by draws that are all the middle of their range, but for the ones that a test sets."""
    draws = np.array([[drawn.pop(name, 0.5) for name in DRAWS]])
    assert not drawn
    return augment(image[None], draws, spec, [targeted])[0]


def several(image: np.ndarray, n: int, spec: AugmentSpec, targeted: bool = False, seed: int = 0) -> np.ndarray:
    """`n` changes of one image."""
    draws = np.random.default_rng(seed).random((n, len(DRAWS)))
    return augment(np.repeat(image[None], n, axis=0), draws, spec, np.full(n, targeted))


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 190, (8, 8), dtype=np.uint8))
    return np.asarray(small.resize((48, 48), Image.Resampling.BICUBIC))[..., None]


def colour(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image, image[::-1], image[:, ::-1]], axis=2)


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("targeted", [False, True])
def test_same_draws_same_pixels_whatever_the_batch(image, spec, channels, targeted):
    image = colour(image)[..., :channels]
    images, draws = np.stack([image, image[::-1], image // 2]), np.random.default_rng(3).random((3, len(DRAWS)))
    before, which = images.copy(), [targeted, True, False]
    together = augment(images, draws, spec, which)
    np.testing.assert_array_equal(images, before)
    assert together.shape == images.shape
    assert together.dtype == np.uint8
    for i in (2, 1, 0):
        np.testing.assert_array_equal(
            augment(images[i : i + 1], draws[i : i + 1], spec, which[i : i + 1])[0], together[i]
        )
    assert (several(image, 3, spec, targeted) != image).any() == (spec is not NONE)


def test_each_step_has_draws_of_its_own(image):
    everything = dataclasses.replace(ORIGINAL, rotation=7.0)
    light = AugmentSpec(brightness=0.1, contrast_low=0.85, contrast_high=1.15)
    drawn = dict(zip(DRAWS, np.random.default_rng(5).random(len(DRAWS)), strict=True))
    still = drawn | {"flip_left_right": 1.0, "turned": 1.0, "flip_up_down": 1.0, "noisy": 1.0, "angle": 0.5}
    np.testing.assert_array_equal(one(image, everything, True, **still), one(image, light, True, **drawn))


def test_brightness_of_a_tenth_is_25_grey_levels(image):
    # The original added 0.1 to pixels in 0..255, which changed nothing.
    brighter = one(image, AugmentSpec(brightness=0.1), brightness=1.0)
    np.testing.assert_allclose(brighter.astype(int) - image, 25.5, atol=0.51)


def test_contrast_stretches_about_the_mean_of_each_channel(image):
    image = colour(image)
    spec = AugmentSpec(contrast_low=0.5, contrast_high=0.5)
    expected = (image - image.mean((0, 1))) * 0.5 + image.mean((0, 1))
    np.testing.assert_allclose(one(image, spec), expected, atol=0.51)


def test_light_is_clipped_and_never_wraps(image):
    spec = AugmentSpec(brightness=1.0, contrast_low=3.0, contrast_high=3.0)
    white = one(image, spec, brightness=0.95)
    expected = np.clip((image - image.mean()) * 3.0 + image.mean() + 0.9 * 255, 0, 255)
    np.testing.assert_allclose(white, expected, atol=0.51)
    assert (white == 255).any()


@pytest.mark.parametrize("k", [-1, 0, 1])
def test_flips_and_turns(image, k):
    np.testing.assert_array_equal(one(image, AugmentSpec(flip_left_right=0.5), flip_left_right=0.1), image[:, ::-1])
    turned = one(image, AugmentSpec(rot90=0.5), turned=0.1, turn=(k + 1.5) / 3)
    np.testing.assert_array_equal(turned, np.rot90(image, k))
    upside = one(image, AugmentSpec(targeted_flip_up_down=0.5), targeted=True, flip_up_down=0.1)
    np.testing.assert_array_equal(upside, image[::-1])


def test_rot90_draws_its_three_turns_evenly_in_half_of_the_images(image):
    turns = [image, np.rot90(image), np.rot90(image, -1)]
    drawn = several(image, 300, AugmentSpec(rot90=0.5))
    counts = [sum(np.array_equal(d, turn) for d in drawn) for turn in turns]
    assert sum(counts) == 300
    assert all(30 <= count <= 70 for count in counts[1:])  # one in six each


@pytest.mark.parametrize("degrees", [-7, 30])
def test_rotation_is_that_of_pillow(image, degrees):
    turned = one(image, AugmentSpec(rotation=45.0), angle=0.5 + degrees / 90)
    expected = Image.fromarray(image[..., 0]).rotate(-degrees, Image.Resampling.BILINEAR)
    np.testing.assert_allclose(turned[..., 0].astype(int), np.asarray(expected), atol=1)


def test_zoom_and_translation_move_the_picture():
    dot = np.zeros((41, 41, 1), np.uint8)
    dot[20, 28] = 255
    large = one(dot, AugmentSpec(zoom=0.5), zoom=1.0)
    assert np.unravel_index(large.argmax(), large.shape)[:2] == (20, 32)
    moved = one(dot, AugmentSpec(translation=0.25), shift_x=0.5 + 10 / 41, shift_y=0.5 + 10 / 41)
    assert np.unravel_index(moved.argmax(), moved.shape)[:2] == (25, 33)


def test_the_default_never_mirrors_and_stays_near(image):
    assert (DEFAULT.flip_left_right, DEFAULT.rot90, DEFAULT.targeted_flip_up_down) == (0, 0, 0)
    for changed in several(image, 20, DEFAULT):
        same, mirrored = (np.corrcoef(changed.ravel(), other.ravel())[0, 1] for other in (image, image[:, ::-1]))
        assert same > mirrored


def test_saturation_and_hue_leave_grey_pixels_alone(image):
    spec = AugmentSpec(targeted_saturation_low=0.5, targeted_saturation_high=1.5, targeted_hue=0.3)
    for grey in (image, np.repeat(image, 3, axis=2)):
        np.testing.assert_array_equal(several(grey, 2, spec, targeted=True), [grey, grey])
    assert (several(colour(image), 1, spec, targeted=True) != colour(image)).any()
    assert (several(colour(image), 1, spec, targeted=False) == colour(image)).all()


def test_saturation_zero_is_grey_and_a_hue_of_a_third_swaps_channels():
    red = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    spec = AugmentSpec(targeted_saturation_low=0.0, targeted_saturation_high=0.0)
    assert np.ptp(one(red, spec, targeted=True), axis=2).max() == 0
    green = one(red, AugmentSpec(targeted_hue=0.5), targeted=True, hue=0.5 + 1 / 3)
    np.testing.assert_allclose(green[0, 0].astype(int), (40, 200, 40), atol=3)


def test_noise_has_the_stated_spread_and_share():
    flat = np.full((64, 64, 1), 128, np.uint8)
    spec = AugmentSpec(targeted_noise=5.0, targeted_noise_probability=0.3)
    drawn = several(flat, 200, spec, targeted=True)
    noisy = drawn[(drawn != 128).any((1, 2, 3))]
    assert 40 <= len(noisy) <= 80
    assert len(np.unique(noisy, axis=0)) == len(noisy)
    assert np.std(noisy) == pytest.approx(5.0, rel=0.01)
    assert np.mean(noisy) == pytest.approx(128.0, abs=0.1)
    # Gaussian: 68.3 % within one deviation, 0.27 % beyond three.
    away = np.abs(noisy.astype(int) - 128)
    assert np.mean(away <= 5) == pytest.approx(0.729, abs=0.01)  # up to 5.5 is rounded to 5
    assert np.mean(away > 15) == pytest.approx(0.0019, abs=0.0005)


def test_noise_is_clipped_and_never_wraps():
    dark = np.zeros((64, 64, 1), np.uint8)
    noisy = one(dark, AugmentSpec(targeted_noise=255.0, targeted_noise_probability=1.0), targeted=True)
    assert np.mean(noisy == 0) == pytest.approx(0.5, abs=0.05)
    assert np.mean(noisy == 255) == pytest.approx(0.16, abs=0.05)


def test_rare_findings_counts_known_labels_alone():
    labels = np.full((10, 4), np.nan, np.float32)
    labels[:, 0] = 0
    labels[:2, 0] = 1  # 20 %: not below 20 %
    labels[:, 1] = 0
    labels[3, 1] = 1  # 10 %
    labels[:2, 2] = (1, 0)  # 1 of 2 known
    np.testing.assert_array_equal(rare_findings(labels), [False, True, False, False])
    np.testing.assert_array_equal(np.flatnonzero(targeted_images(labels)), [3])
    np.testing.assert_array_equal(rare_findings(labels, below=0.21), [True, True, False, False])


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_specs_are_saved_and_read_back(spec):
    assert specs.from_dict(AugmentSpec, specs.to_dict(spec)) == spec
    assert specs.override(spec, "kerascv", "mixup").kerascv == "mixup"
    assert specs.override(spec, "rotation", "3").rotation == 3.0
    assert all(isinstance(value, float) for key, value in dataclasses.asdict(spec).items() if key != "kerascv")


@pytest.mark.parametrize(
    "field, value",
    [
        ("rot90", 1.5),
        ("brightness", -0.1),
        ("targeted_hue", 0.6),
        ("rotation", 999.0),
        ("mixup", math.inf),
        ("mixup", 1e308),
        ("contrast_high", math.inf),
    ],
)
def test_values_out_of_range_name_the_field(field, value):
    with pytest.raises(RecipeError, match=field):
        AugmentSpec(**{field: value})
    with pytest.raises(RecipeError, match="contrast_low"):
        AugmentSpec(contrast_low=2.0)


def test_rot90_of_an_oblong_image_is_refused():
    with pytest.raises(ValueError, match="square"):
        one(np.zeros((8, 9, 1), np.uint8), AugmentSpec(rot90=1.0))


def test_draws_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"2 images need draws of \(2, 14\), got \(1, 14\)"):
        augment(np.zeros((2, 8, 8, 1), np.uint8), np.zeros((1, len(DRAWS))), DEFAULT)


def test_images_are_mixed_in_one_way():
    for one in ({"mixup": 0.2}, {"kerascv": "mixup"}, {"mixup": 0.2, "kerascv": "randaugment"}):
        AugmentSpec(**one)
    with pytest.raises(RecipeError, match="mix each image twice"):
        AugmentSpec(mixup=0.2, kerascv="mixup")
