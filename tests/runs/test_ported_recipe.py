"""The recipe that starts from published weights."""

from zoo.models import architectures
from zoo.models.ports import kinds
from zoo.names.published import PUBLISHED
from zoo.training.recipe import load_recipe


def test_each_start_is_published_weights_of_the_members_backbone():
    recipe = load_recipe("xrayslam_ported")
    starts = {member.backbone: member.weights for member in recipe.ensemble.members}
    assert starts == {
        "resnet50_v1_5": "xrv-resnet50-all",
        "efficientnetb3": None,
        "densenet121": "xrv-densenet121-all",
    }
    for backbone, name in starts.items():
        architectures.get(backbone)
        assert name is None or kinds.get(PUBLISHED[name].kind).backbone == backbone
    assert recipe.stages == load_recipe("xrayslam").stages
