"""Tables however a program wrote them: the same texts come out, or one line says what is wrong."""

import gzip
import io
import itertools
import random
import zipfile

import pytest

from zoo.core.dialects import read_any_columns
from zoo.core.errors import TableError

ROWS = [["Image", "Edema", "Report, free"], ["a.png", "1", "clear; no change"], ["b.png", "", "x|y\tz"]]


def written(rows, separator=",", newline="\r\n", quote=False):
    import csv

    text = io.StringIO()
    form = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator=newline, quoting=form).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize(
    ("separator", "encoding", "newline", "quote"),
    list(
        itertools.product(
            ",;\t|", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"], ["\n", "\r\n", "\r"], [False, True]
        )
    ),
)
def test_every_dialect_gives_the_same_texts(tmp_path, separator, encoding, newline, quote):
    path = tmp_path / "t.csv"
    path.write_bytes(written(ROWS, separator, newline, quote).encode(encoding))
    table, form = read_any_columns(path)
    assert {name: list(texts) for name, texts in table.columns.items()} == {
        name: [row[place] for row in ROWS[1:]] for place, name in enumerate(ROWS[0])
    }
    assert form.separator == separator
    assert form.notes == ()


@pytest.mark.parametrize("seed", range(60))
def test_random_tables_come_back_whatever_separator_wrote_them(tmp_path, seed):
    draw = random.Random(seed)
    width, height = draw.randint(2, 8), draw.randint(1, 30)
    letters = "abcXYZ019 .,;|\t-_/\\'éß漢"
    text = lambda: "".join(draw.choice(letters) for _ in range(draw.randint(1, 12))).strip() or "x"  # noqa: E731
    header = [f"c{place}{draw.choice(['', ' x', '.y'])}" for place in range(width)]
    rows = [header, *([text() for _ in header] for _ in range(height))]
    path = tmp_path / "t.csv"
    path.write_text(written(rows, draw.choice(",;\t|")), encoding="utf-8", newline="")
    table, _ = read_any_columns(path)
    assert [list(table.columns), *map(list, zip(*table.columns.values(), strict=True))] == rows


def test_excel_habits(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nImage;Edema;;\na.png;1,0;;\n;;;\nb.png;0,0;;\n;;;\n")
    table, form = read_any_columns(path)
    assert dict(table.columns) == {"Image": ("a.png", "b.png"), "Edema": ("1,0", "0,0")}
    assert table.lines == (3, 5)
    assert form.notes == ("2 empty rows were left out",)


def test_decimal_commas_and_lists_do_not_take_the_separators_place(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Image;Age;Labels\na.png;58,5;Edema|Mass\nb.png;60,1;Mass|Nodule\n")
    table, _ = read_any_columns(path)
    assert list(table.columns) == ["Image", "Age", "Labels"]
    path.write_text("Image,Labels\na.png,Edema|Mass;x\nb.png,Mass|Nodule;y\n")
    assert list(read_any_columns(path)[0].columns) == ["Image", "Labels"]


def test_a_column_without_a_name_is_kept_if_it_holds_something(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",Image,,Edema\n0,a.png,,1\n1,b.png,,0\n")
    assert list(read_any_columns(path)[0].columns) == ["Unnamed: 1", "Image", "Edema"]


def test_windows_letters_are_read_and_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("Bild;Befund\nMüller.png;1\n".encode("cp1252"))
    table, form = read_any_columns(path)
    assert table.columns["Bild"] == ("Müller.png",)
    assert str(form) == "separated by semicolons, Windows-1252"
    assert form.notes == ("not UTF-8, read as Windows-1252 (check its letters: 'Befund Müller.pn')",)


def test_packed_tables(tmp_path):
    text = written(ROWS).encode()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text))
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("inner.csv", text)
    for name in ("t.csv.gz", "t.csv.zip"):
        assert read_any_columns(tmp_path / name)[0].columns["Edema"] == ("1", "")


def workbook():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the table is empty"),
        (b"\n\n", "the table is empty"),
        (b"a,b\n", "the table has no rows"),
        (b"a,b\n,\n,,\n", "the table has no rows"),
        (b"a,b\n1,2\n3", r"line 3: 1 fields, but the header has 2 \(a text with the separator"),
        (b"a,b\n1,2,3\n", "line 2: 3 fields, but the header has 2"),
        (b"a b,A_B\n1,2\n", "columns 'a b', 'A_B' have one name"),
        (b"a.jpg,p1,0,0\nb.jpg,p2,1,0\n", "columns '0', '0' have one name .*a line of column names first"),
        (b'a,b\n"1,2\n', "line 2: not a readable table: unexpected end of data"),
        (b"sep=:\na:b\n1:2\n", "separated by ':'; use a comma, semicolon, tab or bar"),
        (workbook(), "an Excel workbook, not a text table: save it as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"PK\x03\x04broken", "a damaged archive"),
        (b"\x1f\x8bbroken", "a damaged archive"),
        (bytes(range(256)) * 4, "not text|not a text table"),
        (b"\xff\xfea", "not text"),
    ],
)
def test_what_is_no_table_ends_in_one_line(tmp_path, data, message):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(TableError, match=message) as caught:
        read_any_columns(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_table_is_read_or_refused_and_nothing_else(tmp_path, seed):
    draw = random.Random(seed)
    data = bytearray(written(ROWS * 5, draw.choice(",;\t|")).encode(draw.choice(["utf-8", "utf-16", "cp1252"])))
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    try:
        table, _ = read_any_columns(path)
    except TableError:
        return
    assert len({len(texts) for texts in table.columns.values()}) == 1
