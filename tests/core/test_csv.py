"""CSV text by column name, with the line of the file each value stands on."""

from pathlib import Path

import pytest

from zoo.core.csv import read_columns
from zoo.core.errors import TableError


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_headers_match_whatever_their_case_spaces_and_underscores(tmp_path):
    source = read_columns(write(tmp_path, "Image_name, Lung Opacity\na.jpg, 1 \n"))
    assert source.texts("image name") == ("a.jpg",)
    assert source.texts("Lung_Opacity") == ("1",)
    assert source.header("Edema") is None


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(tmp_path):
    source = read_columns(write(tmp_path, "\ufeffImage_name,Edema\r\na.jpg,0\r\n"))
    assert list(source.columns) == ["Image_name", "Edema"]
    assert source.texts("Edema") == ("0",)


def test_lines_count_blank_rows_and_quoted_line_breaks(tmp_path):
    source = read_columns(write(tmp_path, 'a,b\n1,2\n\n,,\n3,"4\n5"\n6,7\n'))
    assert source.texts("a") == ("1", "3", "6")
    assert source.lines == (2, 6, 7)
    assert "line 7, column 'a': bad" in str(source.error(2, "a", "bad"))


def test_a_missing_column_names_the_closest_one(tmp_path):
    path = write(tmp_path, "Image_name,Lung_Opacty\na.jpg,1\n")
    with pytest.raises(TableError, match=r"table.csv: column 'Lung Opacity' is missing; the closest is 'Lung_Opacty'"):
        read_columns(path).required("Lung Opacity")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3", "line 3: 1 fields, but the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields, but the header has 2"),
        ("Lung Opacity,Lung_Opacity\n1,0\n", "columns 'Lung Opacity', 'Lung_Opacity' have one name"),
        ('a,b\n1,"2\n', "not a readable CSV file"),
        (",\n1,2\n", "no rows|no header"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(TableError, match=message) as caught:
        read_columns(write(tmp_path, text))
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_comma_at_the_end_of_each_line_is_no_column(tmp_path):
    source = read_columns(write(tmp_path, "a,b,\n1,2,\n"))
    assert dict(source.columns) == {"a": ("1",), "b": ("2",)}
    # NIH's release has it in the rows even where the header lacks it; nothing may shift by one column.
    source = read_columns(write(tmp_path, "a,b\n1,2,\n"))
    assert dict(source.columns) == {"a": ("1",), "b": ("2",)}


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path):
    with pytest.raises(TableError, match=r"table.csv: not UTF-8 text"):
        read_columns(write(tmp_path, "a,b\nä,1\n", encoding="latin-1"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such table"):
        read_columns(tmp_path / "nothing.csv")
