"""The one registry of languages: a BCP-47 tag, and what models, benchmarks and the identifier call it.

Sources: the 100 language tokens of M2M100 (arXiv 2010.11125), the codes of FLORES-200 that NLLB and
BELEBELE share (arXiv 2207.04672, 2308.16884), the folders of MMMLU, the labels of py3langid's model,
the classes of resources of Joshi et al. (arXiv 2004.09095).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from langxfer.errors import RecipeError


@dataclass(frozen=True)
class Language:
    """A language, and its names elsewhere. None where the other side does not have it.

    Attributes:
        tag: BCP-47 tag, the only name that recipes and data use.
        name: in English.
        native_name: in the language itself.
        script: ISO 15924 code of the script that texts are expected in.
        identifier: labels of py3langid's model that count as this language; empty where it has none. Scripts
            of one language share their labels. zh includes wuu (Wu): 5 % of written Chinese sentences get it.
        m2m100: language code inside M2M100's ``__xx__`` token.
        nllb: FLORES-200 code, which is also NLLB's token and BELEBELE's configuration.
        mmmlu: configuration of MMMLU.
        resources: class of Joshi et al. 2020, by labelled and unlabelled data: 0 (the left-behinds) to 5 (the winners).
    """

    tag: str
    name: str
    native_name: str
    script: str
    identifier: tuple[str, ...]
    m2m100: str | None
    nllb: str | None
    mmmlu: str | None = None
    resources: int | None = None

    @property
    def low_resource(self) -> bool:
        """Class 2 or lower, as the CLO paper counts: Swahili and Yoruba (2) are low, Indonesian (3), Korean (4) not."""
        return self.resources is not None and self.resources <= 2

    @property
    def sentence_space(self) -> str:
        """What stands between two sentences: nothing in Chinese and Japanese, which have their own full-width marks.

        Thai, Lao, Khmer and Burmese write no spaces between words, but they do between sentences.
        """
        return "" if self.script in {"Hans", "Hant", "Jpan"} else " "


_ROWS = (
    Language("af", "Afrikaans", "Afrikaans", "Latn", ("af",), "af", "afr_Latn"),
    Language("am", "Amharic", "አማርኛ", "Ethi", ("am",), "am", "amh_Ethi"),
    Language("ar", "Arabic", "العربية", "Arab", ("ar",), "ar", "arb_Arab", "AR_XY"),
    Language("ast", "Asturian", "Asturianu", "Latn", (), "ast", "ast_Latn"),
    Language("az", "Azerbaijani", "Azərbaycanca", "Latn", ("az",), "az", "azj_Latn"),
    Language("ba", "Bashkir", "Башҡортса", "Cyrl", ("ba",), "ba", "bak_Cyrl"),
    Language("be", "Belarusian", "Беларуская", "Cyrl", ("be",), "be", "bel_Cyrl"),
    Language("bg", "Bulgarian", "Български", "Cyrl", ("bg",), "bg", "bul_Cyrl"),
    Language("bn", "Bengali", "বাংলা", "Beng", ("bn",), "bn", "ben_Beng", "BN_BD"),
    Language("br", "Breton", "Brezhoneg", "Latn", ("br",), "br", None),
    Language("bs", "Bosnian", "Bosanski", "Latn", ("bs",), "bs", "bos_Latn"),
    Language("ca", "Catalan", "Català", "Latn", ("ca",), "ca", "cat_Latn"),
    Language("ceb", "Cebuano", "Sinugboanon", "Latn", (), "ceb", "ceb_Latn"),
    Language("cs", "Czech", "Čeština", "Latn", ("cs",), "cs", "ces_Latn"),
    Language("cy", "Welsh", "Cymraeg", "Latn", ("cy",), "cy", "cym_Latn"),
    Language("da", "Danish", "Dansk", "Latn", ("da",), "da", "dan_Latn"),
    Language("de", "German", "Deutsch", "Latn", ("de",), "de", "deu_Latn", "DE_DE"),
    Language("el", "Greek", "Ελληνικά", "Grek", ("el",), "el", "ell_Grek"),
    Language("en", "English", "English", "Latn", ("en",), "en", "eng_Latn"),
    Language("es", "Spanish", "Español", "Latn", ("es",), "es", "spa_Latn", "ES_LA"),
    Language("et", "Estonian", "Eesti", "Latn", ("et",), "et", "est_Latn"),
    Language("fa", "Persian", "فارسی", "Arab", ("fa",), "fa", "pes_Arab"),
    Language("ff", "Fulah", "Fulfulde", "Latn", ("fuv",), "ff", "fuv_Latn"),
    Language("fi", "Finnish", "Suomi", "Latn", ("fi",), "fi", "fin_Latn"),
    Language("fr", "French", "Français", "Latn", ("fr",), "fr", "fra_Latn", "FR_FR"),
    Language("fy", "Western Frisian", "Frysk", "Latn", ("fy",), "fy", None),
    Language("ga", "Irish", "Gaeilge", "Latn", ("ga",), "ga", "gle_Latn"),
    Language("gd", "Scottish Gaelic", "Gàidhlig", "Latn", ("gd",), "gd", "gla_Latn"),
    Language("gl", "Galician", "Galego", "Latn", ("gl",), "gl", "glg_Latn"),
    Language("gu", "Gujarati", "ગુજરાતી", "Gujr", ("gu",), "gu", "guj_Gujr"),
    Language("ha", "Hausa", "Hausa", "Latn", ("ha",), "ha", "hau_Latn"),
    Language("he", "Hebrew", "עברית", "Hebr", ("he",), "he", "heb_Hebr"),
    Language("hi", "Hindi", "हिन्दी", "Deva", ("hi",), "hi", "hin_Deva", "HI_IN"),
    Language("hr", "Croatian", "Hrvatski", "Latn", ("hr",), "hr", "hrv_Latn"),
    Language("ht", "Haitian Creole", "Kreyòl ayisyen", "Latn", ("ht",), "ht", "hat_Latn"),
    Language("hu", "Hungarian", "Magyar", "Latn", ("hu",), "hu", "hun_Latn"),
    Language("hy", "Armenian", "Հայերեն", "Armn", ("hy",), "hy", "hye_Armn"),
    Language("id", "Indonesian", "Bahasa Indonesia", "Latn", ("id",), "id", "ind_Latn", "ID_ID"),
    Language("ig", "Igbo", "Igbo", "Latn", ("ig",), "ig", "ibo_Latn"),
    Language("ilo", "Ilocano", "Ilokano", "Latn", (), "ilo", "ilo_Latn"),
    Language("is", "Icelandic", "Íslenska", "Latn", ("is",), "is", "isl_Latn"),
    Language("it", "Italian", "Italiano", "Latn", ("it",), "it", "ita_Latn", "IT_IT"),
    Language("ja", "Japanese", "日本語", "Jpan", ("ja",), "ja", "jpn_Jpan", "JA_JP"),
    Language("jv", "Javanese", "Basa Jawa", "Latn", ("jv",), "jv", "jav_Latn"),
    Language("ka", "Georgian", "ქართული", "Geor", ("ka",), "ka", "kat_Geor"),
    Language("kk", "Kazakh", "Қазақша", "Cyrl", ("kk",), "kk", "kaz_Cyrl"),
    Language("km", "Khmer", "ភាសាខ្មែរ", "Khmr", ("km",), "km", "khm_Khmr"),
    Language("kn", "Kannada", "ಕನ್ನಡ", "Knda", ("kn",), "kn", "kan_Knda"),
    Language("ko", "Korean", "한국어", "Hang", ("ko",), "ko", "kor_Hang", "KO_KR"),
    Language("lb", "Luxembourgish", "Lëtzebuergesch", "Latn", ("lb",), "lb", "ltz_Latn"),
    Language("lg", "Ganda", "Luganda", "Latn", ("lg",), "lg", "lug_Latn"),
    Language("ln", "Lingala", "Lingála", "Latn", ("ln",), "ln", "lin_Latn"),
    Language("lo", "Lao", "ລາວ", "Laoo", ("lo",), "lo", "lao_Laoo"),
    Language("lt", "Lithuanian", "Lietuvių", "Latn", ("lt",), "lt", "lit_Latn"),
    Language("lv", "Latvian", "Latviešu", "Latn", ("lv",), "lv", "lvs_Latn"),
    Language("mg", "Malagasy", "Malagasy", "Latn", ("mg",), "mg", "plt_Latn"),
    Language("mk", "Macedonian", "Македонски", "Cyrl", ("mk",), "mk", "mkd_Cyrl"),
    Language("ml", "Malayalam", "മലയാളം", "Mlym", ("ml",), "ml", "mal_Mlym"),
    Language("mn", "Mongolian", "Монгол", "Cyrl", ("mn",), "mn", "khk_Cyrl"),
    Language("mr", "Marathi", "मराठी", "Deva", ("mr",), "mr", "mar_Deva"),
    Language("ms", "Malay", "Bahasa Melayu", "Latn", ("ms",), "ms", "zsm_Latn"),
    Language("my", "Burmese", "မြန်မာ", "Mymr", ("my",), "my", "mya_Mymr"),
    Language("nb", "Norwegian Bokmål", "Bokmål", "Latn", ("no",), "no", "nob_Latn"),
    Language("ne", "Nepali", "नेपाली", "Deva", ("ne",), "ne", "npi_Deva"),
    Language("nl", "Dutch", "Nederlands", "Latn", ("nl",), "nl", "nld_Latn"),
    Language("nn", "Norwegian Nynorsk", "Nynorsk", "Latn", ("nn",), None, "nno_Latn"),
    Language("no", "Norwegian", "Norsk", "Latn", ("no", "nn"), "no", "nob_Latn"),
    Language("nso", "Northern Sotho", "Sesotho sa Leboa", "Latn", ("nso",), "ns", "nso_Latn"),
    Language("oc", "Occitan", "Occitan", "Latn", ("oc",), "oc", "oci_Latn"),
    Language("or", "Odia", "ଓଡ଼ିଆ", "Orya", ("or",), "or", "ory_Orya"),
    Language("pa", "Punjabi", "ਪੰਜਾਬੀ", "Guru", ("pa",), "pa", "pan_Guru"),
    Language("pl", "Polish", "Polski", "Latn", ("pl",), "pl", "pol_Latn"),
    Language("ps", "Pashto", "پښتو", "Arab", ("ps",), "ps", "pbt_Arab"),
    Language("pt", "Portuguese", "Português", "Latn", ("pt",), "pt", "por_Latn", "PT_BR"),
    Language("ro", "Romanian", "Română", "Latn", ("ro",), "ro", "ron_Latn"),
    Language("ru", "Russian", "Русский", "Cyrl", ("ru",), "ru", "rus_Cyrl"),
    Language("sd", "Sindhi", "سنڌي", "Arab", (), "sd", "snd_Arab"),
    Language("si", "Sinhala", "සිංහල", "Sinh", ("si",), "si", "sin_Sinh"),
    Language("sk", "Slovak", "Slovenčina", "Latn", ("sk",), "sk", "slk_Latn"),
    Language("sl", "Slovenian", "Slovenščina", "Latn", ("sl",), "sl", "slv_Latn"),
    Language("so", "Somali", "Soomaali", "Latn", ("so",), "so", "som_Latn"),
    Language("sq", "Albanian", "Shqip", "Latn", ("sq",), "sq", "als_Latn"),
    Language("sr", "Serbian", "Српски", "Cyrl", ("sr",), "sr", "srp_Cyrl"),
    Language("ss", "Swati", "siSwati", "Latn", (), "ss", "ssw_Latn"),
    Language("su", "Sundanese", "Basa Sunda", "Latn", (), "su", "sun_Latn"),
    Language("sv", "Swedish", "Svenska", "Latn", ("sv",), "sv", "swe_Latn"),
    Language("sw", "Swahili", "Kiswahili", "Latn", ("sw",), "sw", "swh_Latn", "SW_KE"),
    Language("ta", "Tamil", "தமிழ்", "Taml", ("ta",), "ta", "tam_Taml"),
    Language("th", "Thai", "ไทย", "Thai", ("th",), "th", "tha_Thai"),
    Language("tl", "Tagalog", "Tagalog", "Latn", ("tl",), "tl", "tgl_Latn"),
    Language("tn", "Tswana", "Setswana", "Latn", (), "tn", "tsn_Latn"),
    Language("tr", "Turkish", "Türkçe", "Latn", ("tr",), "tr", "tur_Latn"),
    Language("uk", "Ukrainian", "Українська", "Cyrl", ("uk",), "uk", "ukr_Cyrl"),
    Language("ur", "Urdu", "اردو", "Arab", ("ur",), "ur", "urd_Arab"),
    Language("uz", "Uzbek", "Oʻzbekcha", "Latn", ("uz",), "uz", "uzn_Latn"),
    Language("vi", "Vietnamese", "Tiếng Việt", "Latn", ("vi",), "vi", "vie_Latn"),
    Language("wo", "Wolof", "Wolof", "Latn", (), "wo", "wol_Latn"),
    Language("xh", "Xhosa", "isiXhosa", "Latn", ("xh",), "xh", "xho_Latn"),
    Language("yi", "Yiddish", "ייִדיש", "Hebr", (), "yi", "ydd_Hebr"),
    Language("yo", "Yoruba", "Yorùbá", "Latn", ("yo",), "yo", "yor_Latn", "YO_NG"),
    Language("zh", "Chinese (Simplified)", "简体中文", "Hans", ("zh", "wuu"), "zh", "zho_Hans", "ZH_CN"),
    # M2M100's one Chinese token leaves the script to chance, so it is not offered for Traditional.
    Language("zh-Hant", "Chinese (Traditional)", "繁體中文", "Hant", ("zh", "wuu"), None, "zho_Hant"),
    Language("zu", "Zulu", "isiZulu", "Latn", ("zu",), "zu", "zul_Latn"),
    # Languages that M2M100 does not have and NLLB has.
    Language("as", "Assamese", "অসমীয়া", "Beng", ("as",), None, "asm_Beng"),
    Language("ckb", "Central Kurdish", "کوردیی ناوەندی", "Arab", (), None, "ckb_Arab"),
    Language("eo", "Esperanto", "Esperanto", "Latn", ("eo",), None, "epo_Latn"),
    Language("eu", "Basque", "Euskara", "Latn", ("eu",), None, "eus_Latn"),
    Language("fo", "Faroese", "Føroyskt", "Latn", ("fo",), None, "fao_Latn"),
    Language("ku", "Northern Kurdish", "Kurmancî", "Latn", ("ku",), None, "kmr_Latn"),
    Language("ky", "Kyrgyz", "Кыргызча", "Cyrl", ("ky",), None, "kir_Cyrl"),
    Language("mi", "Maori", "Te reo Māori", "Latn", (), None, "mri_Latn"),
    Language("mt", "Maltese", "Malti", "Latn", ("mt",), None, "mlt_Latn"),
    Language("ny", "Nyanja", "Chichewa", "Latn", (), None, "nya_Latn"),
    Language("om", "Oromo", "Afaan Oromoo", "Latn", ("om",), None, "gaz_Latn"),
    Language("rw", "Kinyarwanda", "Ikinyarwanda", "Latn", ("rw",), None, "kin_Latn"),
    Language("sn", "Shona", "chiShona", "Latn", ("sn",), None, "sna_Latn"),
    Language("st", "Southern Sotho", "Sesotho", "Latn", ("st",), None, "sot_Latn"),
    Language("te", "Telugu", "తెలుగు", "Telu", ("te",), None, "tel_Telu"),
    Language("tg", "Tajik", "Тоҷикӣ", "Cyrl", ("tg",), None, "tgk_Cyrl"),
    Language("ti", "Tigrinya", "ትግርኛ", "Ethi", (), None, "tir_Ethi"),
    Language("tk", "Turkmen", "Türkmençe", "Latn", ("tk",), None, "tuk_Latn"),
    Language("tt", "Tatar", "Татарча", "Cyrl", ("tt",), None, "tat_Cyrl"),
    Language("ug", "Uyghur", "ئۇيغۇرچە", "Arab", ("ug",), None, "uig_Arab"),
    Language("yue", "Cantonese", "粵語", "Hant", ("yue",), None, "yue_Hant"),
)

# Joshi et al. 2020 (arXiv 2004.09095), its list of languages by class. Without a class are those that it lacks
# and those where its one name leaves doubt (Norwegian, Kurdish, Fulah, Pashto, Sotho, Nyanja, Cantonese).
_RESOURCES = {
    5: "ar de en es fr ja zh zh-Hant",
    4: "ca cs eu fa fi hi hr hu it ko nl pl pt ru sr sv tr vi",
    3: "af be bg bn bs ceb da el et gl he id ka kk lt lv ms ro sk sl ta th tl uk ur uz",
    2: "am ga ha ht is lo mr mt pa sw ti tn wo xh yo zu",
    1: "as ast az ba br cy eo fo fy gd gu hy ig ilo jv km kn ky lb lg ln mg mi mk ml mn my ne oc om or rw sd sn so "
    "sq ss su te tg tk tt ug yi",
    0: "si",
}
_CLASS = {tag: number for number, tags in _RESOURCES.items() for tag in tags.split()}

LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {row.tag: replace(row, resources=_CLASS.get(row.tag)) for row in _ROWS}
)


def language(tag: str) -> Language:
    """The language of a tag.

    Raises:
        RecipeError: the tag is unknown; the message suggests tags by near spelling, name or foreign code.
    """
    try:
        return LANGUAGES[tag]
    except KeyError:
        raise RecipeError(_unknown(tag)) from None


def check_language(tag: str) -> str:
    """The tag itself, where it is known: a validator for pydantic.

    Raises:
        ValueError: as ``language``, in the same words.
    """
    if tag not in LANGUAGES:
        raise ValueError(_unknown(tag))
    return tag


def _unknown(tag: str) -> str:
    near = _suggestions(tag)
    if near:
        named = [f'"{found}" ({LANGUAGES[found].name})' for found in near]
        advice = f"Did you mean {' or '.join(named)}?"
    else:
        advice = f"{len(LANGUAGES)} tags are known, such as de, id, ko, sw, yo and zh."
    return f'"{tag}" is not a known language tag (BCP-47). {advice}'


def _suggestions(text: str) -> list[str]:
    """Tags that ``text`` may stand for, best first: another name of a language, else near spellings."""
    wanted = text.strip().replace("_", "-").casefold()
    spellings: dict[str, list[str]] = {}
    for row in _ROWS:
        for spelling in _spellings(row):
            spellings.setdefault(spelling, []).append(row.tag)
    if wanted in spellings:
        return spellings[wanted]
    same_primary = [row.tag for row in _ROWS if row.tag.split("-")[0] == wanted.split("-")[0]]
    near = get_close_matches(wanted, spellings, n=3, cutoff=0.75)
    return list(dict.fromkeys([*same_primary, *(tag for spelling in near for tag in spellings[spelling])]))


def _spellings(row: Language) -> set[str]:
    """What people write for a language: tag, names, foreign codes, ISO 639-3 out of FLORES; in lower case."""
    names = [row.tag, row.name, row.name.split(" (")[0], row.native_name, row.m2m100, row.nllb, row.mmmlu]
    three_letters = [row.nllb.split("_")[0]] if row.nllb else []
    return {name.replace("_", "-").casefold() for name in [*names, *three_letters] if name}
