"""Chinese quantities: 两 for two of something, 1米75, and which numbers without 年 are years."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.lexicon import LEXICONS, alternatives
from runtime.text.readings.measure_words import COUNTED, is_counted
from runtime.text.readings.numerals import before_noun, cardinal, digits
from runtime.text.readings.reading_rules import END, START, Rule

_YEAR = re.compile("(?:19|20)(?:[0-9][1-9]|[1-9]0)")
# Behind these a number that looks like a year is an amount.
_AMOUNT_FOLLOWS = re.compile(
    "(?:(?<![中公])共|一共|总共|共计|合计|总计|(?<![所没])有|(?<![条合纽预签公续违])约|大约|大概|超过|超出|(?<!到)达|达到|高达|多达"
    "|将近|接近|逾|仅|只要"
    "|(?<!圆)满|减|减少|增加|(?<!参)加|乘以?|除以|等于|[售原现特均总]价|价格|卖|花了|花费|支付|涨[到至]|跌[到至]|上涨|下跌|升至"
    "|降至|数量|人数|总数"
    "|剩下?|还剩|突破|不到|不足|至少|最多|最少|平均|得分|积分|总分|余额|金额|工资|月薪|房租|租金|费用|预算|转速"
    "|步数)[了为是:：]? ?$"
)
_NO_PAIR = (
    "[栋幢](?!楼|房|别墅|大楼|建筑|住宅)|名师|周[一二三四五六日](?!次)|层楼|分之|元[一二]次|元方程|把手|百|本科|多|余"
)


def is_year(match: re.Match[str], behind: str) -> bool:
    """Whether a number of this century or the last is a year: it counts nothing, as far as its neighbours tell."""
    before = match.string[max(0, match.start() - 8) : match.start()]
    return bool(_YEAR.fullmatch(match[1])) and not is_counted(behind) and not _AMOUNT_FOLLOWS.search(before)


def sign_rules() -> Iterator[Rule]:
    """What stands between and behind numbers, before they are read: "-3~5℃", "21℃/12℃", "500.00元", "5万/m²"."""
    number, degrees = r"[0-9]{1,3}(?:\.[0-9]+)?", "(?:°C|°|度)"
    minus = "(?<![0-9A-Za-z.])[-−]"
    yield (
        rf"{minus}({number}) ?({degrees}?)(?:[~–—至到]|-+)(?=[-−]?{number} ?{degrees})",
        lambda m: f"负{m[1]}{m[2]}到",
    )
    yield rf"(?<=°C)/(?=[-−]?{number} ?{degrees})", lambda m: "，"
    yield r"(?<![0-9*])(7)\*(24)(?= ?小时)", lambda m: f"{cardinal(7, 'zh')}乘{cardinal(24, 'zh')}"
    yield r"(?<=第)([0-9]{1,4})[-–—~]([0-9]{1,4})(?=[题章页名周天期节届集行位条款个轮组排])", _span
    per = alternatives(LEXICONS["zh"].per_words)
    yield rf"(?<=[里米升克斤吨])/({per})(?![A-Za-z])", lambda m: f"每{m[1]}"
    yield r"(?<![0-9A-Za-z.])([0-9]{1,3})[′'’]([0-5]?[0-9])(?:[″\"”]|'')(?![0-9A-Za-z])", lambda m: f"{m[1]}分{m[2]}秒"
    yield rf"(?<=[价费员]){START}([0-9]{{1,6}}(?:\.[0-9]{{1,2}})?)/(?=[月年周天])", lambda m: f"{m[1]}每"
    yield rf"(?<![0-9A-Za-z.])({number}) ?m ?[×xX*] ?(?={number} ?m(?![A-Za-z0-9]))", lambda m: f"{m[1]}米乘"
    yield "(?<=[0-9]次)/(min|s|h)(?![A-Za-z])", lambda m: f"每{LEXICONS['zh'].units[m[1]].one}"
    time = "[0-9]{1,2}(?::[0-5][0-9])?"
    yield rf"(?=[0-9])(?<![0-9A-Za-z:.])((?:{time}[-–~到])?{time}) ?([AaPp])\.?[Mm](?![A-Za-z])", _half_day
    yield "(?<=[0-9点])[-–~](?=[上下]午[0-9])", lambda m: "到"
    yield r"(?<=[0-9])\.00(?= ?[元块])", lambda m: ""
    yield "(?<=[0-9元万亿])/m²(?![A-Za-z0-9])", lambda m: "每平方米"
    yield "(?<=元)/1(?=[美欧日港]元)", lambda m: "每"
    yield r"(?<=[0-9][千万亿])\+(?![0-9A-Za-z+])", lambda m: "加"
    yield r"(?<![0-9A-Za-z+])\+(?=[1-9][0-9]{0,5}(?![0-9.%‰°]|[- ][0-9]| ?°))", lambda m: "加"
    yield rf"((?:倒计时|用时|时长|耗时|历时|片长|配速)[为是了:：]? ?){START}([0-9]{{1,2}}):([0-5][0-9]){END}", _minutes


def _span(match: re.Match[str]) -> str:
    return f"{match[1]}到{match[2]}" if int(match[1]) < int(match[2]) else match[0]


def _half_day(match: re.Match[str]) -> str:
    """ "3pm" with its half of the day first, as Chinese says it."""
    hours = re.sub("(?<![:0-9])[0-9]{1,2}(?![:0-9])", lambda hour: f"{hour[0]}点", match[1])
    half = "上午" if match[2] in "Aa" else "下午"
    return half + hours if all(int(hour) <= 12 for hour in re.findall("[0-9]+(?=[:点])", hours)) else match[0]


def _minutes(match: re.Match[str]) -> str:
    return f"{match[1]}{cardinal(int(match[2]), 'zh')}分{cardinal(int(match[3]), 'zh')}秒"


def counting_rules() -> Iterator[Rule]:
    """The rules, which stand before those for plain numbers."""
    pair = (
        f"(?:{COUNTED}|周|部分|汤匙|[大小][勺匙杯碗块片份袋瓶]|[勺餐晚夜厅卫]|课时|学期|星期|成(?![一-鿿])|[胜负平死伤男女侧者国岸队](?![一-鿿]?[元安])"
        "|室[0-9]厅|年(?![级月])|季(?=[的后前]))"
    )
    counted = "(?<!第2)(?<!第 2)(?<!负2)(?<!星期2)"
    yield rf"(?<=[0-9][米秒])([0-9]{{2}}){END}(?!{COUNTED})", lambda m: digits(m[1], "zh")
    yield rf"{START}2(?= ?{pair}){counted}(?! ?(?:{_NO_PAIR}))", _two
    yield rf"{START}2(?= ?[到或] ?[0-9]+ ?{pair}){counted}", _two
    yield rf"(?<=第){START}([0-9]{{5,9}}){END}(?! ?{COUNTED})", lambda m: digits(m[1], "zh")
    yield rf"(?<=第){START}([0-9]{{1,9}}){END}", lambda m: cardinal(int(m[1]), "zh")
    # What is no time of day: "25:18", "1:50000".
    yield (
        rf"{START}([0-9]{{1,3}}):([0-9]{{1,7}}){END}",
        lambda m: f"{cardinal(int(m[1]), 'zh')}比{cardinal(int(m[2]), 'zh')}",
    )


def _two(match: re.Match[str]) -> str:
    return before_noun(2, "zh")
