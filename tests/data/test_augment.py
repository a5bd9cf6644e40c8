"""Augmentation: what each step does to pixels, and that it is a pure function of its generator."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from zoo import specs
from zoo.data.augment import DEFAULT, NONE, ORIGINAL, AugmentSpec, augment, rare_findings, targeted_images
from zoo.errors import RecipeError

PRESETS = {"none": NONE, "default": DEFAULT, "original": ORIGINAL}


class Fixed(np.random.Generator):
    """A generator that always draws the middle of a range, but for the values that a test sets."""

    def __init__(self, random: float = 1.0, uniform: tuple = (), integer: int = 0) -> None:
        super().__init__(np.random.PCG64(0))
        self._random, self._uniform, self._integer = random, dict(uniform), integer

    def random(self, *_, **__):
        return self._random

    def integers(self, *_, **__):
        return self._integer

    def uniform(self, low, high, size=None):
        value = self._uniform.get(high, (low + high) / 2)
        return value if size is None else np.full(size, value)


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
def test_same_generator_same_pixels(image, spec, channels, targeted):
    image = colour(image)[..., :channels]
    before = image.copy()
    first, again = (augment(image, np.random.default_rng(3), spec, targeted) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    changed = any((augment(image, np.random.default_rng(i), spec, targeted) != image).any() for i in range(3))
    assert changed == (spec is not NONE)


def test_brightness_of_a_tenth_is_25_grey_levels(image):
    # The original added 0.1 to pixels in 0..255, which changed nothing.
    brighter = augment(image, Fixed(uniform={25.5: 25.5, 0.1: 0.1}.items()), AugmentSpec(brightness=0.1))
    np.testing.assert_allclose(brighter.astype(int) - image, 25.5, atol=0.51)


def test_contrast_stretches_about_the_mean_of_each_channel(image):
    image = colour(image)
    spec = AugmentSpec(contrast_low=0.5, contrast_high=0.5)
    expected = (image - image.mean((0, 1))) * 0.5 + image.mean((0, 1))
    np.testing.assert_allclose(augment(image, Fixed(), spec), expected, atol=0.51)


def test_light_is_clipped_and_never_wraps(image):
    spec = AugmentSpec(brightness=1.0, contrast_low=3.0, contrast_high=3.0)
    white = augment(image, Fixed(uniform={1.0: 0.9}.items()), spec)
    expected = np.clip((image - image.mean()) * 3.0 + image.mean() + 0.9 * 255, 0, 255)
    np.testing.assert_allclose(white, expected, atol=0.51)
    assert (white == 255).any()


@pytest.mark.parametrize("k", [-1, 0, 1])
def test_flips_and_turns(image, k):
    np.testing.assert_array_equal(augment(image, Fixed(0.0), AugmentSpec(flip_left_right=0.5)), image[:, ::-1])
    np.testing.assert_array_equal(augment(image, Fixed(0.0, integer=k), AugmentSpec(rot90=0.5)), np.rot90(image, k))
    upside = augment(image, Fixed(0.0), AugmentSpec(targeted_flip_up_down=0.5), targeted=True)
    np.testing.assert_array_equal(upside, image[::-1])


def test_rot90_draws_its_three_turns_evenly_in_half_of_the_images(image):
    turns = [image, np.rot90(image), np.rot90(image, -1)]
    drawn = [augment(image, np.random.default_rng(i), AugmentSpec(rot90=0.5)) for i in range(300)]
    counts = [sum(np.array_equal(d, turn) for d in drawn) for turn in turns]
    assert sum(counts) == 300
    assert all(30 <= count <= 70 for count in counts[1:])  # one in six each


@pytest.mark.parametrize("degrees", [-7, 30])
def test_rotation_is_that_of_pillow(image, degrees):
    turned = augment(image, Fixed(uniform={45.0: degrees}.items()), AugmentSpec(rotation=45.0))
    expected = Image.fromarray(image[..., 0]).rotate(-degrees, Image.Resampling.BILINEAR)
    np.testing.assert_allclose(turned[..., 0].astype(int), np.asarray(expected), atol=1)


def test_zoom_and_translation_move_the_picture():
    dot = np.zeros((41, 41, 1), np.uint8)
    dot[20, 28] = 255
    large = augment(dot, Fixed(uniform={1.5: 1.5}.items()), AugmentSpec(zoom=0.5))
    assert np.unravel_index(large.argmax(), large.shape)[:2] == (20, 32)
    moved = augment(dot, Fixed(uniform={0.25: 5 / 41}.items()), AugmentSpec(translation=0.25))
    assert np.unravel_index(moved.argmax(), moved.shape)[:2] == (25, 33)


def test_the_default_never_mirrors_and_stays_near(image):
    assert (DEFAULT.flip_left_right, DEFAULT.rot90, DEFAULT.targeted_flip_up_down) == (0, 0, 0)
    for seed in range(20):
        changed = augment(image, np.random.default_rng(seed), DEFAULT)
        same, mirrored = (np.corrcoef(changed.ravel(), other.ravel())[0, 1] for other in (image, image[:, ::-1]))
        assert same > mirrored


def test_saturation_and_hue_leave_grey_pixels_alone(image):
    spec = AugmentSpec(targeted_saturation_low=0.5, targeted_saturation_high=1.5, targeted_hue=0.3)
    for grey in (image, np.repeat(image, 3, axis=2)):
        np.testing.assert_array_equal(augment(grey, np.random.default_rng(0), spec, targeted=True), grey)
    assert (augment(colour(image), np.random.default_rng(0), spec, targeted=True) != colour(image)).any()
    assert (augment(colour(image), np.random.default_rng(0), spec, targeted=False) == colour(image)).all()


def test_saturation_zero_is_grey_and_a_hue_of_a_third_swaps_channels():
    red = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    spec = AugmentSpec(targeted_saturation_low=0.0, targeted_saturation_high=0.0)
    assert np.ptp(augment(red, Fixed(), spec, targeted=True), axis=2).max() == 0
    green = augment(red, Fixed(uniform={0.5: 1 / 3}.items()), AugmentSpec(targeted_hue=0.5), targeted=True)
    np.testing.assert_allclose(green[0, 0].astype(int), (40, 200, 40), atol=3)


def test_noise_has_the_stated_spread_and_share():
    flat = np.full((64, 64, 1), 128, np.uint8)
    spec = AugmentSpec(targeted_noise=5.0, targeted_noise_probability=0.3)
    drawn = [augment(flat, np.random.default_rng(i), spec, targeted=True) for i in range(200)]
    noisy = [d for d in drawn if (d != 128).any()]
    assert 40 <= len(noisy) <= 80
    assert np.std(noisy) == pytest.approx(5.0, rel=0.05)
    assert np.mean(noisy) == pytest.approx(128.0, abs=0.1)


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
    "field, value", [("rot90", 1.5), ("brightness", -0.1), ("targeted_hue", 0.6), ("rotation", 999.0)]
)
def test_values_out_of_range_name_the_field(field, value):
    with pytest.raises(RecipeError, match=field):
        AugmentSpec(**{field: value})
    with pytest.raises(RecipeError, match="contrast_low"):
        AugmentSpec(contrast_low=2.0)


def test_rot90_of_an_oblong_image_is_refused():
    with pytest.raises(ValueError, match="square"):
        augment(np.zeros((8, 9, 1), np.uint8), Fixed(0.0), AugmentSpec(rot90=1.0))
