"""Every preset reads tables with the columns of its data set, as they are published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shards_helpers import picture

from shards import UserError
from shards.format.images import encode_image
from shards.ingest.files.found import FoundImage
from shards.ingest.importing import Labels, find
from shards.ingest.tables.find_table import TableNotUnderstood
from shards.ingest.tables.recipe import preset, presets

SHARED = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).resolve().parents[4] / "shared"))

#: preset -> files with their text, names of pictures, and of each picture (class, skin type, cluster).
PUBLISHED: dict[str, tuple[dict[str, str], dict[str, tuple[str | None, str | None, str | None]]]] = {
    "fitzpatrick17k": (
        {
            "f.csv": "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,qc\n"
            "a1,-1,2,acne,\n"
            "b2,3,3,wart,3 Wrongly labelled\n"
        },
        {"a1.jpg": ("acne", None, None)},
    ),
    "ddi": (
        {"ddi_metadata.csv": ",DDI_ID,DDI_file,skin_tone,malignant,disease\n0,1,000001.png,56,True,mycosis\n"},
        {"000001.png": ("mycosis", "5-6", None)},
    ),
    "pad-ufes-20": (
        {"metadata.csv": "patient_id,lesion_id,fitspatrick,diagnostic,img_id\nPAT_8,9,3.0,NEV,PAT_8_9_1.png\n"},
        {"imgs_part_1/PAT_8_9_1.png": ("NEV", "3", "PAT_8")},
    ),
    "ham10000": (
        {
            "HAM10000_metadata.csv": "lesion_id,image_id,dx,age\nHAM_1,ISIC_1,bkl,80.0\n",
            "hmnist.csv": "pixel0,label\n1,2\n",
        },
        {"HAM10000_images_part_1/ISIC_1.jpg": ("bkl", None, "HAM_1")},
    ),
    "isic2017": (
        {
            "ISIC-2017_Training_Part3_GroundTruth.csv": "image_id,melanoma,seborrheic_keratosis\n"
            "I_1,0.0,0.0\n"
            "I_2,1.0,0\n"
        },
        {"d/I_1.jpg": ("nevus", None, None), "d/I_2.jpg": ("melanoma", None, None)},
    ),
    "isic2018": (
        {
            "ISIC2018_Task3_Training_GroundTruth.csv": "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nI_1,0,0,1,0,0,0,0\n",
            "ISIC2018_Task3_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type\nI_1,HAM_7,histo\n",
        },
        {"I_1.jpg": ("BCC", None, "HAM_7")},
    ),
    "isic2019": (
        {
            "ISIC_2019_Training_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\nI_1,0,0,0,0,0,0,0,0,1\n",
            "ISIC_2019_Training_Metadata.csv": "image,age_approx,lesion_id,sex\nI_1,55,MSK4_11,female\n",
        },
        {"I_1.jpg": ("UNK", None, "MSK4_11")},
    ),
    "isic2020": (
        {
            "ISIC_2020_Training_GroundTruth.csv": "image_name,patient_id,diagnosis,benign_malignant\n"
            "I_1,IP_1,unknown,benign\n"
        },
        {"train/I_1.jpg": ("benign", None, "IP_1")},
    ),
    "isic-archive": (
        {
            "metadata.csv": "isic_id,diagnosis_1,diagnosis_3,fitzpatrick_skin_type,lesion_id,patient_id\n"
            "I_1,Benign,Nevus,II,IL_1,IP_1\n"
        },
        {"I_1.jpg": ("Nevus", "2", "IP_1")},
    ),
    "milk10k": (
        {
            "MILK10k_Training_GroundTruth.csv": "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\n"
            "IL_1,0,0,0,0,0,0,0,1,0,0,0\n",
            "MILK10k_Training_Metadata.csv": "lesion_id,image_type,isic_id,skin_tone_class\n"
            "IL_1,dermoscopic,I_1,5\nIL_1,clinical: close-up,I_2,5\n",
        },
        {"IL_1/I_1.jpg": ("MEL", "1", "IL_1"), "IL_1/I_2.jpg": ("MEL", "1", "IL_1")},
    ),
    "scin": (
        {
            "scin_cases.csv": "case_id,fitzpatrick_skin_type,image_1_path,image_2_path,image_3_path\n"
            "-9007199254740993,FST3,dataset/images/-11.png,dataset/images/22.png,\n"
            "-9007199254740992,NONE_SELECTED,dataset/images/33.png,,\n",
            "scin_labels.csv": "case_id,weighted_skin_condition_label\n"
            "-9007199254740993,\"{'Eczema': 0.41, 'Tinea': 0.59}\"\n-9007199254740992,{}\n",
        },
        {
            "dataset/images/-11.png": ("Tinea", "3", "-9007199254740993"),
            "dataset/images/22.png": ("Tinea", "3", "-9007199254740993"),
            "dataset/images/33.png": (None, None, "-9007199254740992"),
        },
    ),
    "midas": (
        {
            "release_midas.csv": "midas_record_id,midas_path,midas_fitzpatrick,midas_file_name\n"
            "7,malignant- bcc,iii light brown,S-1.JPG\n"
        },
        {"images/s-1.jpeg": ("malignant- bcc", "3", "7")},
    ),
    "derm7pt": (
        {"meta/meta.csv": "case_num,diagnosis,clinic,derm\n1,clark nevus,NEL/NEL025.JPG,NEL/Nel026.jpg\n"},
        {"images/NEL/NEL025.jpg": ("clark nevus", None, "1"), "images/NEL/Nel026.jpg": ("clark nevus", None, "1")},
    ),
    "passion": (
        {
            "label.csv": "subject_id,country,fitzpatrick,conditions_PASSION\nAA1,GIN,5,Eczema\nAA10,MWI,6,Scabies\n",
            "PASSION_split.csv": "subject_id,Split\nAA1,TRAIN\nAA10,TEST\n",
        },
        {
            "i/AA1_1.jpg": ("Eczema", "5", "AA1"),
            "i/AA1_2.jpg": ("Eczema", "5", "AA1"),
            "i/AA10_1.jpg": ("Scabies", "6", "AA10"),
        },
    ),
    "skincap": (
        {
            "skincap_v240623.csv": "id,skincap_file_path,ori_file_path,disease,caption_en\n"
            "1,1.png,a1b2.jpg,psoriasis,A plaque\n"
        },
        {"skincap/1.png": ("psoriasis", None, None)},
    ),
    "bcn20000": (
        {"bcn_20k_train.csv": "bcn_filename,age_approx,diagnosis,lesion_id\nBCN_0000000001.jpg,55.0,MEL,BCN_0003884\n"},
        {"BCN_20k_train/BCN_0000000001.jpg": ("MEL", None, "BCN_0003884")},
    ),
    "dermnet": ({}, {"train/Acne and Rosacea Photos/07Acne1.jpg": ("Acne and Rosacea", None, None)}),
}


def write(folder: Path, tables: Mapping[str, str], pictures: Mapping[str, Any]) -> None:
    for name, text in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for i, name in enumerate(pictures):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_image(picture(i, 16), "png"))


def test_every_preset_is_tested_and_says_what_it_is() -> None:
    assert set(PUBLISHED) == set(presets())
    assert all(recipe.title for recipe in presets().values())
    with pytest.raises(UserError, match="preset 'x'; expected bcn20000, ddi"):
        preset("x")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_columns_are_read(tmp_path: Path, name: str) -> None:
    tables, pictures = PUBLISHED[name]
    write(tmp_path, tables, pictures)
    found = [one for one in find(tmp_path, Labels(preset=name)) if one.data is not None]
    facts = {one.place: (one.facts["class"], one.facts.get("group"), one.facts.get("cluster")) for one in found}
    assert facts == pictures
    assert not any(one.problem for one in found)


def test_what_the_presets_say_beyond_columns(tmp_path: Path) -> None:
    """Rows that are left out, splits that a joined table names, and the picture's name in another set."""
    for name in ("fitzpatrick17k", "passion", "skincap"):
        write(tmp_path / name, *PUBLISHED[name])
    (tmp_path / "fitzpatrick17k" / "b2.jpg").write_bytes(encode_image(picture(9, 16)))
    found = {one.place: one for one in find(tmp_path / "fitzpatrick17k", Labels(preset="fitzpatrick17k"))}
    assert found["b2.jpg"].problem == "left out: its qc is 3 Wrongly labelled"
    assert found["a1.jpg"].facts["attributes"] == {"fst_b": "2"}
    splits = {one.place: one.facts["split"] for one in find(tmp_path / "passion", Labels(preset="passion"))}
    assert splits == {"i/AA1_1.jpg": "train", "i/AA1_2.jpg": "train", "i/AA10_1.jpg": "test"}
    (one,) = find(tmp_path / "skincap", Labels(preset="skincap"))
    assert one.facts["attributes"]["same_as"] == "a1b2.jpg"


def test_the_older_column_of_fitzpatrick17k(tmp_path: Path) -> None:
    write(tmp_path, {"f.csv": "md5hash,fitzpatrick,label,qc\na1,2,acne,\n"}, {"a1.jpg": None})
    (one,) = find(tmp_path, Labels(preset="fitzpatrick17k"))
    assert one.facts["group"] == "2"


def test_a_table_that_is_a_presets_is_named_as_such(tmp_path: Path) -> None:
    write(tmp_path, *PUBLISHED["ham10000"])
    (tmp_path / "hmnist.csv").unlink()
    with pytest.raises(
        TableNotUnderstood, match=r"HAM10000_metadata\.csv has no column for the classes .*preset ham10000"
    ):
        find(tmp_path)


def only(found: list[FoundImage]) -> dict[str, tuple[str | None, str]]:
    return {one.place: (one.facts.get("class"), one.problem) for one in found}


def test_onehot_where_join_and_exclude_for_any_table(tmp_path: Path) -> None:
    tables = {
        "pictures.csv": "image,A,B\n1.jpg,1,0\n2.jpg,0,1.0\n3.jpg,1,1\n4.jpg,0,0\n5.jpg,1,0\n6.jpg,1,0\n",
        "more.csv": "IMAGE,view,patient\n"
        + "".join(f"{i}.jpg,{'far' if i == 5 else 'near'},p{i}\n" for i in range(1, 7)),
    }
    write(tmp_path, tables, {f"{i}.jpg": None for i in range(1, 7)})
    labels = Labels(
        onehot=("A", "B"),
        join=("more.csv:image",),
        where=("View = near|close",),
        exclude=["6"],
        table=tmp_path / "pictures.csv",
    )
    found = list(find(tmp_path, labels))
    assert only(found) == {
        "1.jpg": ("A", ""),
        "2.jpg": ("B", ""),
        "3.jpg": (None, "is of several classes: A, B"),
        "4.jpg": (None, ""),
        "5.jpg": ("A", "left out: its View is far"),
        "6.jpg": ("A", "left out: it is among the images to exclude"),
    }
    assert {one.facts["cluster"] for one in found} == {f"p{i}" for i in range(1, 7)}
    assert all(one.facts["attributes"].keys() == {"view"} for one in found)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Labels(join=("none.csv:file",)), "expected TABLE:KEY with one table"),
        (Labels(join=("more.csv:x",)), "has no such column"),
        (Labels(join=("more.csv:file",)), "'1.jpg' twice"),
        (Labels(join=("other.csv:file",)), "1 of 1 keys are not in other.csv"),
        (Labels(where=("size=3",)), "no column 'size'"),
        (Labels(where=("size",)), "expected COLUMN=VALUE"),
        (Labels(preset="isic2019"), "no column MEL or NV"),
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(tmp_path: Path, labels: Labels, message: str) -> None:
    tables = {
        "a.csv": "file,class\n1.jpg,x\n",
        "more.csv": "file,y\n1.jpg,1\n1.jpg,2\n",
        "other.csv": "file,z\n7.jpg,1\n",
    }
    tables |= {"GroundTruth.csv": "image,MEL\n1.jpg,1\n"} if labels.preset else {}
    write(tmp_path, tables, {"1.jpg": None})
    with pytest.raises(UserError, match=message):
        list(find(tmp_path, labels))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published tables are not there")
@pytest.mark.parametrize(
    ("name", "table", "rows", "classes", "typed"),
    [
        ("fitzpatrick17k", "tables/fitzpatrick17k.csv", 16577, 114, 16012),
        ("ham10000", "tables/HAM10000_metadata.csv", 10015, 7, 0),
        ("isic2019", "tables/ISIC_2019_Training_GroundTruth.csv", 25331, 8, 0),
        ("pad-ufes-20", "pad-ufes-20/metadata.csv", 2298, 6, 1494),
    ],
)
def test_the_published_tables_are_read_whole(
    tmp_path: Path, name: str, table: str, rows: int, classes: int, typed: int
) -> None:
    """Every row, without its image; Fitzpatrick17k has 565 rows of unknown type."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "other.png").write_bytes(encode_image(picture(0, 16)))
    with pytest.raises(UserError, match=f"has {rows} rows, and {rows} of them name no image"):
        find(tmp_path / "in", Labels(SHARED / "data" / table, preset=name))
    from dermforge.common.tables import as_text, read_table
    from shards.ingest.tables.columns import facts_of, resolve
    from shards.ingest.tables.labelling import class_of

    frame, recipe = as_text(read_table(SHARED / "data" / table)), preset(name)
    columns = resolve(frame, recipe.columns)
    read = [dict(zip(frame.columns, values, strict=True)) for values in frame.itertuples(index=False)]
    assert len({class_of(row, columns["class"], recipe)[0] for row in read}) == classes
    assert sum(facts_of(row, columns).get("group") is not None for row in read) == typed
