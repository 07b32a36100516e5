"""Words that identify a person: first names, words for people, titles.

Latin letters are lower-case and without accents. Names that are also a place, a month or a word ("Paris", "May",
"Hope") are omitted: as labels they are no evidence.
"""

from __future__ import annotations

from pathlib import Path

from runtime.text.readings.word_sets import listed, words

_FILE = Path(__file__).with_suffix(".toml")

FIRST_NAMES = listed(_FILE, "first_names")

# In English the last word tells who it is ("Old Woman"), in the other languages the first.
_ENGLISH_PEOPLE = listed(_FILE, "english_people")
_OTHER_PEOPLE = listed(_FILE, "other_people")
# Who speaks and nothing else: one such label is enough.
SPEAKING_ROLES = listed(_FILE, "speaking_roles")
TITLES = listed(_FILE, "titles")
ARTICLES = words("the a an first second third another el la los las un una le les l der die das il lo o os as")

# Chinese: family names that begin few other words, forms of address, and people.
FAMILY_NAMES = frozenset(
    "李王张刘陈杨赵吴徐孙朱胡郭林罗郑梁谢宋唐韩曹邓萧冯彭吕苏卢蒋蔡魏薛叶阎潘杜钟汪田姚谭廖邹熊陆郝孔崔邱秦江侯邵孟龙段雷钱汤尹"
    "黎乔贺赖龚欧阮柳章詹葛張劉陳楊趙吳孫羅鄭謝韓馮鄧蕭彭呂蘇盧蔣葉閻鍾譚鄒陸龍雷錢湯喬賀賴龔歐"
)
CHINESE_PEOPLE = tuple(listed(_FILE, "chinese_people"))
JAPANESE_NAMES = tuple(listed(_FILE, "japanese_names"))
KOREAN_PEOPLE = tuple(words("선생님 학생 손님 점원 의사 환자 엄마 아빠 기자 진행자 할머니 할아버지 씨"))
_KOREAN_FAMILY_NAMES = "김이박최정강조윤장임한오서신권황안송류홍"


def is_person(name: list[str]) -> bool:
    """Whether a name, cut into lower-case words without accents, numbers and articles, is surely somebody's."""
    if not name:
        return False
    if len(name) > 1 and name[0].rstrip(".") in TITLES:
        return True
    plain = [word.rstrip(".") for word in name]
    if plain[0].split("-")[0] in FIRST_NAMES or plain[-1] in _ENGLISH_PEOPLE or plain[0] in _OTHER_PEOPLE:
        return True
    return any(word in SPEAKING_ROLES for word in plain) or (len(name) == 1 and _is_asian_person(name[0]))


def is_first_name(name: list[str]) -> bool:
    """Whether that is one first name and nothing else."""
    return len(name) == 1 and name[0] in FIRST_NAMES


def _is_asian_person(name: str) -> bool:
    if "\uac00" <= name[0] <= "\ud7a3":
        return name.endswith(KOREAN_PEOPLE) or (
            len(name) == 3 and name[0] in _KOREAN_FAMILY_NAMES and name[1:] in FIRST_NAMES
        )
    if name.startswith(JAPANESE_NAMES) or name.endswith(JAPANESE_NAMES):
        return True
    if not "\u3400" <= name[0] <= "\u9fff":
        return False
    return (
        name.endswith(CHINESE_PEOPLE)
        or (2 <= len(name) <= 3 and name[0] in FAMILY_NAMES)
        or (2 <= len(name) <= 3 and name[0] in "小老阿")
        or name in ("我", "你", "他", "她")
    )
