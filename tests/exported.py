"""Facts of exports that no network was written for."""

from builders import FINDINGS3

from zoo.release.export_facts import (
    Acceptance,
    ExportFacts,
    Figure,
    GraphFacts,
    ImagesOfPart,
    KerasCheck,
    Limits,
    Loss,
    Source,
    Tensor,
)
from zoo.release.layout import MAX_AUC_LOSS, MIN_DECISIONS_KEPT
from zoo.release.manifest import Listed

CHECK = KerasCheck("jax", 8, difference=0.1, tolerance=None, largest=3.0)


def loss(auc, kept):
    return Loss(Figure(auc, None, None, 9), Figure(kept, None, None, 9))


def graph_facts(format="openvino", precision="int8"):
    return GraphFacts(
        format=format,
        precision=precision,
        model="tiny",
        members=("tiny0",),
        findings=FINDINGS3,
        image_size=32,
        temperature=(1.0,),
        input=Tensor("pixels", "uint8", (1, 32, 32, 1), "grey levels 0..255"),
        output=Tensor("logits", "float32", (1, 3), "logits"),
        source=Source("0" * 64, {"tiny0.safetensors": "1" * 64}),
        versions={"zoo": "1"},
    )


def export_facts(runs):
    """Facts of an int8 export with these losses; None for one that states no acceptance."""
    images = ImagesOfPart(9, "test", "5" * 64)
    accepted = Acceptance(images, images, Limits(MAX_AUC_LOSS, MIN_DECISIONS_KEPT), runs) if runs is not None else None
    files = {"model.xml": Listed(1, "2" * 64)}
    return ExportFacts(**vars(graph_facts()), check=CHECK, files=files, acceptance=accepted)
