"""A graph is refused where its operations cannot be what they say, before OpenVINO opens it."""

import pytest

from zoo.core.errors import ReleaseError
from zoo.release import openvino_ir

PORT = '<port id="0"><dim>1</dim><dim>8</dim><dim>8</dim><dim>1</dim></port>'
IMAGE = '<data element_type="u8" shape="1,8,8,1"/>'


def graph(*layers):
    parts = [f'<layer id="{i}" type="{kind}" version="opset1">{rest}</layer>' for i, (kind, rest) in enumerate(layers)]
    return f"<net><layers>{''.join(parts)}</layers></net>"


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (("MaxPool", f"<output>{PORT}</output>"), "operation MaxPool has no input"),
        (("Result", ""), "operation Result has no input"),
        (("Parameter", f"{IMAGE}<input>{PORT}</input>"), "operation Parameter has an input"),
    ],
)
def test_an_operation_without_what_it_takes_is_refused(tmp_path, layer, said):
    path = tmp_path / "model.xml"
    path.write_text(graph(("Parameter", f"{IMAGE}<output>{PORT}</output>"), layer))
    with pytest.raises(ReleaseError, match=said):
        openvino_ir.check(path, 0, 8, 3)
