"""What `make audit` says of a bill of materials and of the index's answers; the forms are those of its two tools."""

from audit import found, left_out, shown

NOT_FOUND = "Dependency not found on PyPI and could not be audited: {}"
OURS = {"name": "xrayslam-zoo", "skip_reason": "distribution marked as editable"}


def silent(name: str) -> dict[str, str]:
    return {"name": name, "skip_reason": NOT_FOUND.format(f"{name} (1.0)")}


def test_a_distribution_that_is_in_no_bill_is_named() -> None:
    bill = {
        "metadata": {"component": {"name": "xrayslam-zoo"}},
        "components": [{"name": "ml_dtypes", "version": "0.5.0"}, {"name": "numpy", "version": "2.0.0"}],
    }
    installed = [("xrayslam-zoo", "0.1.0"), ("ml-dtypes", "0.5.0"), ("numpy", "2.0.0")]
    assert left_out(installed, bill) == []
    assert left_out([*installed, ("numpy", "1.26.0"), ("zipp", "3.0")], bill) == [
        "not in the bill of materials: numpy 1.26.0, zipp 3.0"
    ]


def test_a_known_fault_is_named_with_the_versions_that_mend_it() -> None:
    faults = [
        {"id": "PYSEC-2099-1", "fix_versions": ["2.1", "3.0"], "aliases": []},
        {"id": "PYSEC-2099-2", "fix_versions": [], "aliases": []},
    ]
    answers = [
        OURS,
        {"name": "numpy", "version": "2.0", "vulns": []},
        {"name": "pillow", "version": "1.0", "vulns": faults},
    ]
    assert found(answers) == [
        "pillow 1.0: PYSEC-2099-1, mended in 2.1, 3.0",
        "pillow 1.0: PYSEC-2099-2, mended in none",
    ]
    assert found(answers[:2]) == []


def test_an_index_that_does_not_answer_is_no_clean_audit() -> None:
    (line,) = found([OURS, silent("absl-py"), silent("numpy")])
    assert line.startswith("the index answered for none of 2 distributions")
    (line,) = found([{"name": "numpy", "version": "2.0", "vulns": []}, silent("torch")])
    assert line == f"no answer for 1 of 2 distributions: torch ({NOT_FOUND.format('torch (1.0)')})"


def test_a_long_list_is_cut_with_its_count() -> None:
    assert shown([*"abcdefg"]) == "a, b, c, d, e and 2 more"
