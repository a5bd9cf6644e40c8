"""Whether an accelerator would wait for images: what is measured, what is estimated, and what is said."""

import dataclasses

import pytest
from small_run import make_recipe, make_table
from told import Told

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.training import devices, feeding


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[str]:
    return list(make_table(tmp_path_factory.mktemp("films"), n=40)["Image_path"])


def sized(size: int, members: int = 3):
    recipe = make_recipe(members)
    return dataclasses.replace(recipe, ensemble=dataclasses.replace(recipe.ensemble, image_size=size))


def test_on_a_cpu_nothing_is_measured(paths, monkeypatch):
    monkeypatch.setattr(feeding, "input_rate", lambda *_: pytest.fail("measured"))
    assert devices.capability() is None
    told = Told()
    assert not feeding.starves(make_recipe(), paths, told)
    assert told.messages == []


def test_need_follows_from_members_and_pixels():
    assert feeding.needed_rate(sized(224), (7, 5)) == 130
    assert feeding.needed_rate(sized(112), (7, 5)) == 4 * 130
    assert feeding.needed_rate(sized(224, members=1), (7, 5)) == 3 * 130
    assert feeding.needed_rate(sized(224), (8, 0)) == 8 * 130
    assert feeding.needed_rate(dataclasses.replace(sized(224), members="separate"), (7, 5)) == 3 * 130


@pytest.mark.parametrize(
    ("rate", "starved", "says"),
    [
        (
            259.0,
            True,
            "input: this machine decodes 259 images/s, and the device trains about 130 images/s (an estimate): "
            "below 2 times that rate",
        ),
        (
            261.0,
            False,
            "input: this machine decodes 261 images/s, and the device trains about 130 images/s (an estimate): "
            "no cache is needed",
        ),
    ],
)
def test_the_measured_rate_decides_and_is_told(paths, monkeypatch, rate, starved, says):
    monkeypatch.setattr(devices, "_capability", lambda: (7, 5))
    monkeypatch.setattr(feeding, "input_rate", lambda recipe, images: rate)
    told = Told()
    assert feeding.starves(sized(224), paths, told) == starved
    assert len(told.messages) == 1
    assert told.messages[0].startswith(says)


def test_the_rate_is_that_of_images_with_unreadable_ones_among_them(paths, tmp_path, monkeypatch):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    seen = []
    read = feeding.read_image
    monkeypatch.setattr(feeding, "read_image", lambda path, *args: (seen.append(path), read(path, *args))[1])
    assert feeding.input_rate(make_recipe(), [*paths[:20], str(broken), *paths[20:35]]) > 10
    assert len(set(seen)) == 32  # whole batches of 16
    assert feeding.input_rate(make_recipe(), [str(broken)] * 3) > 1


def test_a_slow_disk_is_not_waited_for(paths, monkeypatch):
    monkeypatch.setattr(feeding, "_SECONDS", 0.0)
    seen = []
    read = feeding.read_image
    monkeypatch.setattr(feeding, "read_image", lambda path, *args: (seen.append(path), read(path, *args))[1])
    feeding.input_rate(make_recipe(), paths * 20)
    assert 16 <= len(seen) <= 5 * 16
