"""Public data sets in their own files, made here at their smallest: each label, patient and view is the right one."""

import io
import json
import tarfile

import numpy as np
import pytest

from zoo.core.errors import TableError
from zoo.data.tables.datasets import DATASETS, described, recognise
from zoo.data.tables.names import DATASET_NAMES
from zoo.data.tables.padchest import MAPPING
from zoo.data.tables.reading import read_table
from zoo.labels.findings import FINDINGS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAN = pytest.approx(float("nan"), nan_ok=True)


def put(folder, texts):
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(dataset, folder):
    said = []
    return read_table(dataset, folder, uncertain="keep", say=said.append), said


def unlabelled(table):
    return {finding for finding in FINDINGS if table[finding].isna().all()}


def test_every_data_set_has_a_name_and_a_description():
    assert sorted(DATASETS) == sorted(DATASET_NAMES)
    assert all(f"{name}: " in described() for name in DATASET_NAMES)


CHEXPERT_HEAD = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pleural Effusion\n"


def test_chexpert_keeps_uncertain_labels_and_finds_images_under_another_prefix(tmp_path):
    root = "CheXpert-v1.0-small"
    put(tmp_path, {
        "train.csv": CHEXPERT_HEAD
        + f"{root}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,\n"
        + f"{root}/train/patient00001/study2/view1_frontal.jpg,Female,69,Frontal,PA,,-1.0,0.0\n"
        + f"{root}/train/patient00001/study2/view2_lateral.jpg,Female,69,Lateral,,,-1.0,1.0\n",
        "valid.csv": CHEXPERT_HEAD
        + f"{root}/valid/patient00002/study1/view1_frontal.jpg,Male,50,Frontal,AP,0.0,1.0,\n",
    })  # fmt: skip
    files = ["train/patient00001/study1/view1_frontal.jpg", "train/patient00001/study2/view1_frontal.jpg"]
    files += ["train/patient00001/study2/view2_lateral.jpg", "valid/patient00002/study1/view1_frontal.jpg"]
    put(tmp_path, {f"CheXpert-v1.0/{name}": "" for name in files})
    table, said = read("chexpert", tmp_path)
    assert table["Image_path"].tolist() == [str(tmp_path / "CheXpert-v1.0" / name) for name in files]
    assert table["Patient_ID"].tolist() == ["patient00001"] * 3 + ["patient00002"]
    assert table["Study"].tolist()[1:] == ["patient00001/study2"] * 2 + ["patient00002/study1"]
    assert table["Sex"].tolist() == ["F", "F", "F", "M"]
    assert table["ViewCategory"].tolist() == ["Frontal", "Frontal", "Lateral", "Frontal"]
    assert table["Edema"].tolist() == [NAN, -1, -1, 1]
    assert table["No Finding"].tolist() == [1, NAN, NAN, 0]
    assert table["Source"].tolist() == ["chexpert-train"] * 3 + ["chexpert-valid"]
    assert "Fracture" in unlabelled(table)
    assert said == ["train.csv: 3 images", "valid.csv: 1 image"]
    assert read_table("chexpert", tmp_path)["Edema"].tolist() == [NAN, NAN, NAN, 1]


def test_chexperts_test_labels_are_given_to_each_image_of_a_study(tmp_path):
    put(tmp_path, {
        "groundtruth.csv": "Study,Edema,Fracture\nCheXpert-v1.0/test/patient64741/study1,1,0\n"
        "CheXpert-v1.0/test/patient64742/study1,0,1\n",
        "test/patient64741/study1/view1_frontal.jpg": "",
        "test/patient64741/study1/view2_lateral.jpg": "",
        "test/patient99999/study1/view1_frontal.jpg": "",
    })  # fmt: skip
    table, said = read("chexpert-test", tmp_path)
    assert table["Edema"].tolist() == [1, 1]
    assert table["Study"].tolist() == ["patient64741/study1"] * 2
    assert said == ["groundtruth.csv: 1 of 2 studies have images: 2"]


def test_mimic_joins_labels_to_images_by_study(tmp_path):
    put(tmp_path, {
        "mimic-cxr-2.0.0-chexpert.csv": "subject_id,study_id,Edema,Pneumonia\n10000032,50414267,-1.0,\n"
        "10000764,57375967,1.0,0.0\n10000764,1,1.0,0.0\n",
        "mimic-cxr-2.0.0-negbio.csv": "subject_id,study_id,Edema,Pneumonia\n10000032,50414267,0.0,1.0\n",
        "mimic-cxr-2.0.0-metadata.csv": "dicom_id,subject_id,study_id,ViewPosition\nd1,10000032,50414267,PA\n"
        "d2,10000032,50414267,LATERAL\nd3,10000764,57375967,AP\nd4,10000764,77,LL\n",
        "mimic-cxr-2.0.0-split.csv": "dicom_id,study_id,subject_id,split\nd1,50414267,10000032,train\n",
        "files/p10/p10000032/s50414267/d1.jpg": "",
    })  # fmt: skip
    table, said = read("mimic-chexpert", tmp_path)
    assert table["Edema"].tolist() == [-1, -1, 1, NAN]
    assert table["Pneumonia"].tolist() == [NAN, NAN, 0, NAN]
    assert table["Patient_ID"].tolist() == ["10000032", "10000032", "10000764", "10000764"]
    assert table["ViewCategory"].tolist() == ["Frontal", "Lateral", "Frontal", "Lateral"]
    assert table["Image_path"][0] == str(tmp_path / "files/p10/p10000032/s50414267/d1.jpg")
    assert "4 images of 3 studies; 1 study without labels is unknown; 1 labelled study has no image" in said[0]
    assert "the official split (train 1) is not used" in said[1]
    assert read("mimic-negbio", tmp_path)[0]["Pneumonia"].tolist() == [1, 1, NAN, NAN]


def test_padchest_reads_lists_and_leaves_what_says_nothing_unknown(tmp_path):
    head = "ImageID,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels\n"
    rows = [
        "a.png,20140915,s1,p1,1930.0,F,PA,['normal']",
        "b.png,20150914,s2,p2,1929.0,M,L,\"['pleural effusion', 'nodule ', 'kyphosis']\"",
        "c.png,20150914,s2,p2,None,M,AP_horizontal,\"['unchanged', '']\"",
        "d.png,20150914,s3,p3,1950,O,EXCLUDE,['exclude']",
        "e.png,20150914,s4,p4,1950,nan,PA,",
        "f.png,20150914,s5,p5,1950,F,COSTAL,['callus rib fracture']",
    ]
    put(tmp_path, {"PADCHEST_x.csv": head + "\n".join(rows) + "\n", "a.png": ""})
    table, said = read("padchest", tmp_path)
    assert recognise(tmp_path) == "padchest"
    assert table["Pleural Effusion"].tolist() == [0, 1, NAN, NAN, NAN, 0]
    assert table["Lung Lesion"].tolist() == [0, 1, NAN, NAN, NAN, 0]
    assert table["Fracture"].tolist() == [0, 0, NAN, NAN, NAN, 1]
    assert table["No Finding"].tolist() == [1, 0, NAN, NAN, NAN, 0]
    assert table["Age"].tolist() == [84, 86, NAN, 65, 65, 65]
    assert table["Sex"].tolist() == ["F", "M", "M", "O", NAN, "F"]
    assert table["ViewPosition"].tolist() == ["PA", NAN, "AP", "EXCLUDE", "PA", "COSTAL"]
    assert table["ViewCategory"].tolist()[:3] == ["Frontal", "Lateral", "Frontal"]
    assert "6 images; 3 say nothing and are unknown, 1 of them 'exclude'" in said[0]
    assert "kyphosis (1)" in said[1]
    assert set(MAPPING) <= set(FINDINGS)


VINBIG = (
    "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    "a,Cardiomegaly,3,R1,1,1,2,2\na,Cardiomegaly,3,R2,1,1,2,2\na,No finding,14,R3,,,,\n"
    "a,Pneumothorax,12,R1,1,1,2,2\na,Nodule/Mass,8,R2,1,1,2,2\na,Nodule/Mass,8,R2,5,5,6,6\n"
    "b,No finding,14,R1,,,,\nb,No finding,14,R2,,,,\nb,No finding,14,R3,,,,\n"
)


@pytest.mark.parametrize(
    ("dataset", "heart", "air", "normal"),
    [("vindr", [1, 0], [0, 0], [0, 1]), ("vindr-any", [1, 0], [1, 0], [1, 1]), ("vindr-all", [0, 0], [0, 0], [0, 1])],
)
def test_vinbigs_readers_are_merged_by_the_stated_rule(tmp_path, dataset, heart, air, normal):
    put(tmp_path, {"train.csv": VINBIG, "train/a.png": "", "train/b.png": ""})
    table, said = read(dataset, tmp_path)
    assert table["Image_name"].tolist() == ["a", "b"]
    assert table["Cardiomegaly"].tolist() == heart
    assert table["Pneumothorax"].tolist() == air
    assert table["No Finding"].tolist() == normal
    # Two boxes of one reader are one vote.
    assert table["Lung Lesion"].tolist() == [float(dataset == "vindr-any"), 0]
    assert unlabelled(table) == {
        "Edema", "Enlarged Cardiomediastinum", "Fracture", "Pneumonia", "Support Devices",
    }  # fmt: skip
    assert table["Patient_ID"].isna().all()
    assert "images by number of readers: 2 by 3; merged by" in said[0]


def test_vindrs_labels_in_columns_and_a_class_nobody_knows(tmp_path):
    text = "image_id,rad_id,Rib fracture,Edema,No finding\na,R1,0,1,0\na,R2,1,1,0\na,R3,1,0,0\n"
    put(tmp_path, {"image_labels_train.csv": text})
    table, _ = read("vindr", tmp_path)
    assert (table["Fracture"][0], table["Edema"][0], table["No Finding"][0]) == (1, 1, 0)
    assert "Cardiomegaly" in unlabelled(table)
    put(tmp_path, {"image_labels_train.csv": VINBIG.replace("Nodule/Mass", "Nodul")})
    with pytest.raises(TableError, match="line 6, column 'class_name': unknown class 'Nodul'"):
        read("vindr", tmp_path)


RSNA = "patientId,x,y,width,height,Target\na,,,,,0\nb,1,2,3,4,1\nb,5,6,7,8,1\nc,,,,,0\n"


def test_rsna_merges_boxes_and_reads_what_lies_beside(tmp_path):
    put(tmp_path, {"stage_2_train_labels.csv": RSNA, "stage_2_train_images/a.dcm": ""})
    table, said = read("rsna", tmp_path)
    assert table["Pneumonia"].tolist() == table["Lung Opacity"].tolist() == [0, 1, 0]
    assert len(unlabelled(table)) == 12
    assert "4 rows of 3 images" in said[0]
    assert "the patients are unknown" in said[1]
    mapping = [
        {"subset_img_id": "a", "img_id": "00000013_005.png"},
        {"subset_img_id": "b", "img_id": "00000013_006.png"},
    ]
    put(tmp_path, {
        "stage_2_detailed_class_info.csv": "patientId,class\na,Normal\nb,Lung Opacity\nb,Lung Opacity\n"
        "c,No Lung Opacity / Not Normal\n",
        "pneumonia-challenge-dataset-mappings_2018.json": json.dumps(mapping),
        "train_dicom_headers.csv": "Filename,PatientAge,PatientSex,ViewPosition\na.dcm,43,F,AP\n",
    })  # fmt: skip
    table, _ = read("rsna", tmp_path)
    assert table["No Finding"].tolist() == [1, 0, 0]
    assert table["Patient_ID"].tolist() == ["00000013", "00000013", NAN]
    assert (table["Age"][0], table["Sex"][0], table["ViewPosition"][0]) == (43, "F", "AP")
    put(tmp_path, {"stage_2_train_labels.csv": RSNA + "b,,,,,0\n"})
    with pytest.raises(TableError, match="line 6, column 'Target': 'b' is 1 on line 3"):
        read("rsna", tmp_path)


def test_siims_masks_become_labels(tmp_path):
    put(tmp_path, {"train-rle.csv": "ImageId, EncodedPixels\n1.2.3,-1\n1.2.4,10 2 5 3\n1.2.4,7 1\n"})
    table, said = read("siim", tmp_path)
    assert table["Pneumothorax"].tolist() == [0, 1]
    assert len(unlabelled(table)) == 13
    assert "3 masks of 2 images" in said[0]
    for text, message in {
        "1.2.3,10 2\n": "'1.2.3' has a mask and -1",
        "1.2.5,10\n": "pairs of numbers, got '10'",
    }.items():
        put(tmp_path, {"train-rle.csv": f"ImageId, EncodedPixels\n1.2.3,-1\n{text}"})
        with pytest.raises(TableError, match=f"line 3, column 'EncodedPixels': .*{message}"):
            read("siim", tmp_path)


def report(uid, codes, images):
    nodes = "".join(f"<major>{code}</major>" for code in codes)
    shown = "".join(f'<parentImage id="{image}"/>' for image in images)
    return f'<eCitation><uId id="{uid}"/><MeSH>{nodes}<automatic>pneumonia</automatic></MeSH>{shown}</eCitation>'


REPORTS = {
    "1.xml": report("CXR1", ["normal"], ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]),
    "2.xml": report("CXR2", ["Opacity/lung/upper lobe/right", "Pulmonary Atelectasis/mild", "Nodule/lung"], ["CXR2_a"]),
    "3.xml": report("CXR3", ["No Indexing"], ["CXR3_a"]),
    "4.xml": report("CXR4", ["Opacity/ribs", "Pneumoniae"], ["CXR4_a"]),
    "5.xml": report("CXR5", ["Edema"], []),
}


@pytest.mark.parametrize("packed", [False, True])
def test_openi_reads_the_codes_that_people_gave(tmp_path, packed):
    if packed:
        with tarfile.open(tmp_path / "NLMCXR_reports.tgz", "w:gz") as archive:
            for name, text in REPORTS.items():
                member = tarfile.TarInfo(f"ecgen-radiology/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    else:
        put(tmp_path, {f"ecgen-radiology/{name}": text for name, text in REPORTS.items()})
    put(tmp_path, {"nlmcxr_dicom_metadata.csv": "imageid,View Position\nCXR1_1_IM-0001-3001,LL\nCXR2_a,PA\n"})
    assert recognise(tmp_path) == "openi"
    table, said = read("openi", tmp_path)
    assert table["Patient_ID"].tolist() == ["CXR1", "CXR1", "CXR2", "CXR3", "CXR4"]
    assert table["No Finding"].tolist() == [1, 1, 0, NAN, 0]
    assert table["Lung Opacity"].tolist() == [0, 0, 1, NAN, 0]
    assert table["Atelectasis"].tolist() == [0, 0, 1, NAN, 0]
    assert table["Lung Lesion"].tolist() == [0, 0, 1, NAN, 0]
    assert table["Pneumonia"].tolist() == [0, 0, 0, NAN, 0]
    assert unlabelled(table) == {"Enlarged Cardiomediastinum"}
    assert table["ViewCategory"].tolist()[:3] == ["Lateral", NAN, "Frontal"]
    assert "5 reports with 5 images; 1 reports without an image; 1 were not coded and are unknown" in said[0]


def test_openi_refuses_what_is_no_report(tmp_path):
    put(tmp_path, {"reports/1.xml": "<eCitation>"})
    with pytest.raises(TableError, match=r"1\.xml: not a report in XML"):
        read("openi", tmp_path)
    put(tmp_path, {"reports/1.xml": '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'})
    with pytest.raises(TableError, match="it defines XML entities"):
        read("openi", tmp_path)


def test_both_divisions_share_their_patients(tmp_path):
    for division, patients in {"train1": "12", "train2": "23"}.items():
        lines = [f"0000000{p}_001_001.jpg,{p},1,F,50,Frontal,PA{',0' * 14}" for p in patients]
        head = f"Image_name,Patient_ID,Study,Sex,Age,ViewCategory,ViewPosition,{','.join(FINDINGS)}"
        put(tmp_path, {f"{division}.csv": "\n".join([head, *lines]) + "\n"})
        put(tmp_path, {f"{division}/0000000{p}_001_001.jpg": "" for p in patients})
    table, said = read("competition-both", tmp_path)
    assert table["Image_name"].tolist() == [
        "train1/00000001_001_001.jpg", "train1/00000002_001_001.jpg",
        "train2/00000002_001_001.jpg", "train2/00000003_001_001.jpg",
    ]  # fmt: skip
    assert table["Image_path"].tolist() == [str(tmp_path / name) for name in table["Image_name"]]
    assert table["Patient_ID"].tolist() == ["1", "2", "2", "3"]
    assert said[-1] == "1 patient is in both divisions; a split keeps their images together"
    assert read_table("competition", tmp_path / "train1.csv")["Patient_ID"].tolist() == ["1", "2"]


@pytest.mark.parametrize("dataset", [name for name in DATASET_NAMES if name != "csv"])
def test_an_empty_folder_names_what_is_missing(tmp_path, dataset):
    with pytest.raises(TableError) as caught:
        read_table(dataset, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_are_numbers_of_one_type(tmp_path):
    put(tmp_path, {"train.csv": VINBIG})
    table, _ = read("vindr", tmp_path)
    assert {table[finding].dtype for finding in FINDINGS} == {np.dtype(np.float32)}
