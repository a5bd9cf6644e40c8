"""Which share of a list a process has: by the study, the same on every machine, nothing twice and nothing left."""

import numpy as np
import pytest

from zoo.core.errors import UsageError
from zoo.inference.shards import Shard, share_of, study_keys

PATHS = [f"in/p{i}/0000{i // 3:04d}_001_{i % 3:03d}.png" for i in range(60)] + ["in/x.png", "in/sub/y.png"]


def test_shares_are_a_partition_that_keeps_studies_together_and_their_order():
    keys = study_keys(PATHS, ["in"])
    shares = [share_of(Shard(i, 4), PATHS, keys) for i in range(4)]
    assert sorted(path for share in shares for path in share.paths) == sorted(PATHS)
    for share in shares:
        assert [PATHS[place] for place in share.places] == list(share.paths)
        assert share.units == share.images == 62
    home = {key: i for i, share in enumerate(shares) for key in study_keys(share.paths, ["in"])}
    assert all({home[key]} == {i for i, s in enumerate(shares) if key in study_keys(s.paths, ["in"])} for key in home)
    assert len({share.digest for share in shares}) == 1
    assert min(len(share.paths) for share in shares) > 0


def test_the_assignment_is_that_of_every_version_and_machine():
    """By SHA-256, not by Python's hash, which differs in each process; the numbers were computed by hand once."""
    assert [Shard(i, 8).has("00000042_001") for i in range(8)].index(True) == 6
    assert [Shard(i, 3).has("p1/view1.png") for i in range(3)].index(True) == 1


def test_without_a_study_the_relative_path_decides_so_that_the_mount_point_does_not_matter():
    assert study_keys(["/a/in/p/v.png", "/a/in/p/00000007_002_001.png"], ["/a/in"]) == ["p/v.png", "00000007_002"]
    assert study_keys(["/b/in/p/v.png"], ["/b/in/"]) == ["p/v.png"]
    assert study_keys(["v.png"], ["v.png"]) == ["v.png"]


def test_units_of_several_images_keep_the_order_of_their_first_image():
    share = share_of(Shard(0, 1), ["1", "2", "3", "4"], ["b", "a", "b", "a"], ["b", "a", "b", "a"])
    assert list(share.paths) == ["1", "3", "2", "4"]
    np.testing.assert_array_equal(share.places, [0, 1])
    assert (share.units, share.images) == (2, 4)


def test_the_hash_of_a_list_sees_names_order_and_what_they_are_assigned_by():
    def digest(paths, keys):
        return share_of(Shard(0, 2), paths, keys).digest

    base = digest(["a", "b"], ["1", "2"])
    others = [digest(["a", "b"], ["1", "3"]), digest(["b", "a"], ["1", "2"]), digest(["a"], ["1"])]
    assert base not in others
    assert digest(["ab", "c"], ["", ""]) != digest(["a", "bc"], ["", ""])
    assert digest(["a\udcff"], ["a\udcff"])  # a name that is not UTF-8


@pytest.mark.parametrize(
    "environment, index",
    [
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}, 2),
        ({"SLURM_ARRAY_TASK_ID": "3"}, 3),
        ({"JOB_COMPLETION_INDEX": "0"}, 0),
        ({"JOB_COMPLETION_INDEX": "1", "SLURM_ARRAY_TASK_ID": "1"}, 1),
    ],
)
def test_schedulers_say_which_task_this_is(environment, index):
    assert Shard.parse("auto/4", environment) == Shard(index, 4)


@pytest.mark.parametrize(
    "text, environment, message",
    [
        ("4/4", {}, "no shard 4 of 4"),
        ("-1/4", {}, "'-1/4': give I/N"),
        ("3", {}, "'3': give I/N"),
        ("auto", {}, "'auto': give I/N"),
        ("auto/4", {}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "4"}, "says 4, and tasks go from 0 to 3"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "2"}, "says -1"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "8"}, "has 8 tasks, not 4"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "1", "JOB_COMPLETION_INDEX": "2"}, "give the number itself"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "x"}, "'x', less '0': whole numbers"),
    ],
)
def test_what_is_no_shard_is_refused_with_what_would_be_one(text, environment, message):
    with pytest.raises(UsageError, match=message):
        Shard.parse(text, environment)
