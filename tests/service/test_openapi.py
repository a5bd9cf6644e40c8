"""The description of the service is OpenAPI as its specification has it."""

import pytest
import standin

pytest.importorskip("fastapi", reason="needs the extra api")

from zoo.service.application import create_app
from zoo.service.settings import Settings


@pytest.mark.parametrize("token", ["", "0123456789abcdef"])
def test_the_description_is_valid(token):
    validator = pytest.importorskip("openapi_spec_validator")
    described = create_app(standin.predictor(), Settings(token=token)).openapi()
    assert described["openapi"].startswith("3.1")
    assert {*described["paths"]} >= {"/predict", "/health", "/ready", "/metrics"}
    validator.validate(described)
    broken = described | {"paths": {"/predict": {"post": {"responses": 3}}}}
    with pytest.raises(Exception, match="3 is not of type"):
        validator.validate(broken)
