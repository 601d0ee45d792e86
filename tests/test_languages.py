"""The language registry: complete, consistent with the models that it names, and helpful."""

from __future__ import annotations

import pytest

from langxfer.errors import RecipeError
from langxfer.languages import LANGUAGES, Language, check_language, language


def test_m2m100_has_its_hundred_languages() -> None:
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    assert {row.m2m100 for row in LANGUAGES.values()} - {None} == set(FAIRSEQ_LANGUAGE_CODES["m2m100"])


def test_nllb_codes_exist_in_its_tokenizer() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert {row.nllb for row in LANGUAGES.values()} - {None} <= set(FAIRSEQ_LANGUAGE_CODES)


def test_identifier_labels_are_the_model_s_and_none_is_left_out() -> None:
    """An empty ``identifier`` is only right where py3langid really has no label for the language."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    labels = set(LanguageIdentifier.from_model_file(MODEL_FILE).labels)
    assert {label for row in LANGUAGES.values() for label in row.identifier} <= labels
    assert not [row.tag for row in LANGUAGES.values() if not row.identifier and row.tag in labels]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("zh", "裂变原子弹的工作原理如下，把一个原子核和许多质子放在一起需要能量。"),
        ("de", "Der Zug nach München fährt heute leider erst um halb neun ab."),
        ("ko", "오늘은 날씨가 좋아서 공원에서 친구와 함께 걸었습니다."),
        ("id", "Saya sedang belajar bahasa baru karena ingin bekerja di Jakarta tahun depan."),
        ("sw", "Watoto wanacheza nje ya nyumba huku mama yao akipika chakula cha jioni."),
        ("yo", "Àwọn ọmọ náà ń ṣeré ní ìta ilé nígbà tí ìyá wọn ń se oúnjẹ alẹ́."),
    ],
)
def test_the_identifier_knows_the_languages_of_the_paper(tag: str, text: str) -> None:
    import py3langid

    assert py3langid.classify(text)[0] in language(tag).identifier


def test_codes_name_one_language() -> None:
    """Only Norwegian shares codes: M2M100 and NLLB write Bokmål for it, under either tag."""
    for field in ("name", "native_name", "m2m100", "nllb", "mmmlu"):
        rows = [row for row in LANGUAGES.values() if getattr(row, field) and row.tag != "no"]
        codes = [getattr(row, field) for row in rows]
        assert len(codes) == len(set(codes)), field


def test_rows_agree_with_themselves() -> None:
    for tag, row in LANGUAGES.items():
        assert row.tag == tag
        assert row.nllb is None or row.nllb.split("_")[1] == row.script, tag
        assert row.m2m100 or row.nllb, f"nothing can translate {tag}"


@pytest.mark.parametrize(
    ("tag", "m2m100", "nllb", "mmmlu"),
    [
        ("zh", "zh", "zho_Hans", "ZH_CN"),
        ("de", "de", "deu_Latn", "DE_DE"),
        ("ko", "ko", "kor_Hang", "KO_KR"),
        ("id", "id", "ind_Latn", "ID_ID"),
        ("sw", "sw", "swh_Latn", "SW_KE"),
        ("yo", "yo", "yor_Latn", "YO_NG"),
        ("en", "en", "eng_Latn", None),
        ("nb", "no", "nob_Latn", None),
        ("no", "no", "nob_Latn", None),
        ("nso", "ns", "nso_Latn", None),
        ("zh-Hant", None, "zho_Hant", None),
    ],
)
def test_known_rows(tag: str, m2m100: str | None, nllb: str, mmmlu: str | None) -> None:
    row = language(tag)
    assert (row.m2m100, row.nllb, row.mmmlu) == (m2m100, nllb, mmmlu)


def test_the_fourteen_languages_of_mmmlu() -> None:
    assert {row.tag for row in LANGUAGES.values() if row.mmmlu} == set(
        ["ar", "bn", "de", "es", "fr", "hi", "id", "it", "ja", "ko", "pt", "sw", "yo", "zh"]
    )


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("swh_Latn", "sw"),
        ("Swahili", "sw"),
        ("Kiswahili", "sw"),
        ("SW_KE", "sw"),
        ("swh", "sw"),
        ("Yoroba", "yo"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("Deutsch", "de"),
        ("ns", "nso"),
        ("zh_CN", "zh"),
        ("zh-TW", "zh-Hant"),
        ("chinese", "zh-Hant"),
        ("norwegian", "no"),
    ],
)
def test_suggestions(wrong: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=rf'"{wrong}" is not a known language tag .*"{meant}" \('):
        language(wrong)


def test_without_a_near_name_examples_are_given() -> None:
    with pytest.raises(RecipeError) as caught:
        language("klingon")
    assert "Did you mean" not in str(caught.value)
    assert f"{len(LANGUAGES)} tags are known, such as de," in str(caught.value)


def test_check_language_is_the_same_for_pydantic() -> None:
    assert check_language("yo") == "yo"
    with pytest.raises(RecipeError) as as_recipe:
        language("yor")
    with pytest.raises(ValueError) as as_value:
        check_language("yor")
    assert str(as_recipe.value) == str(as_value.value)


@pytest.mark.parametrize(
    ("tag", "resources"),
    [
        ("en", 5),
        ("zh", 5),
        ("zh-Hant", 5),
        ("de", 5),
        ("ko", 4),
        ("id", 3),
        ("sw", 2),
        ("yo", 2),
        ("ig", 1),
        ("no", None),
    ],
)
def test_classes_of_resources(tag: str, resources: int | None) -> None:
    row = language(tag)
    assert row.resources == resources
    assert row.low_resource == (resources is not None and resources < 3)


def test_the_resource_levels_of_the_paper_s_languages_are_the_paper_s() -> None:
    """CLO, arXiv 2505.14297: two high-resource, two medium-resource and two low-resource languages."""
    assert [tag for tag in ("zh", "de", "ko", "id", "sw", "yo") if language(tag).low_resource] == ["sw", "yo"]


def test_as_many_languages_as_the_classification_counts() -> None:
    """Joshi et al. 2020, table 1: 7 in class 5, 18 in class 4, 28 in class 3 (of which Latin and Egyptian Arabic are
    not in the registry). Traditional Chinese is Mandarin too."""
    counts = {n: sum(row.resources == n for row in LANGUAGES.values()) for n in (5, 4, 3)}
    assert counts == {5: 7 + 1, 4: 18, 3: 28 - 2}


def test_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        LANGUAGES["xx"] = Language("xx", "X", "X", "Latn", (), None, None)  # type: ignore[index]
