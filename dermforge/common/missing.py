"""What counts as a missing value in a user's table: one rule for every command that reads one."""

from __future__ import annotations

import numpy as np

#: Words that stand for "not known", without regard to case, with single spaces for underscores and repeated spaces.
WORDS = frozenset(
    {
        *("", "-", "--", "---", ".", "?", "??", "[]", "{}", "()"),
        *("n/a", "#n/a", "<na>", "n.a.", "na", "nan", "nat", "nil", "none", "null", "unk", "unknown", "missing"),
        *("none selected", "not available", "not known", "not provided", "not recorded", "not specified"),
        *("not applicable", "not assessed", "not determined", "not reported", "not stated", "no data", "undetermined"),
        *("prefer not to say", "unspecified", "n.d.", "nd", "no answer", "don't know", "do not know", "not sure"),
        # German, French, Spanish, Portuguese, Italian, Dutch, Polish, Turkish, Russian, Chinese, Japanese, Korean
        *("unbekannt", "keine angabe", "k.a.", "k. a.", "fehlt", "inconnu", "inconnue", "non renseigné", "non précisé"),
        *("desconocido", "desconocida", "sin dato", "sin datos", "no especificado", "no disponible", "desconhecido"),
        *("desconhecida", "não informado", "sem dados", "não especificado", "sconosciuto", "sconosciuta", "non noto"),
        *(
            "non disponibile",
            "onbekend",
            "niet bekend",
            "nieznany",
            "nieznane",
            "brak danych",
            "bilinmiyor",
            "неизвестно",
        ),
        *("не указано", "нет данных", "未知", "不明", "不详", "无", "미상", "알 수 없음"),
    }
)

#: What a missing value is called where groups are shown; it is compared with none.
UNKNOWN = "unknown"


def is_missing(value: object) -> bool:
    """Whether a cell says nothing: None, NaN, NA, an empty list or mapping, or one of `WORDS`."""
    if value is None:
        return True
    if isinstance(value, str):
        return " ".join(value.replace("_", " ").split()).casefold() in WORDS
    if isinstance(value, list | tuple | dict | set):
        return not value
    if isinstance(value, np.ndarray):  # a list in a parquet table
        return value.size == 0
    return type(value).__name__ in ("NAType", "NaTType") or bool(isinstance(value, float) and value != value)


def is_missing_code(value: object) -> bool:
    """Whether a class number or a skin type is missing: as `is_missing`, or -1, which data sets write for it."""
    return is_missing(value) or str(value).strip() in ("-1", "-1.0")


def present(value: str | None) -> str | None:
    """The trimmed text of a cell, None where it is missing."""
    return None if value is None or is_missing(value) else value.strip()


def present_code(value: str | None) -> str | None:
    """As `present` for a class number or a skin type, where -1 is missing too."""
    return None if is_missing_code(value) else present(value)
