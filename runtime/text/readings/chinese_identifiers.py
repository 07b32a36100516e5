"""Chinese numbers that name a thing and count nothing, digit by digit: rooms, ports, codes, trains, versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.lexicon import LEXICONS, alternatives
from runtime.text.readings.measure_words import COUNTED
from runtime.text.readings.numerals import cardinal, digits
from runtime.text.readings.reading_rules import END, LETTER, START, Rule

# Before a number of at least three digits; a measure word behind it makes it a quantity all the same.
_BEFORE = (
    "房间号?|房号|门牌号?|门号|座位号|座号|桌号|床号|车次|车号|批号|货号|款号|单号|流水号|证号|证件号|序列号|串号|进程号|设备号"
    "|错误码|错误代码|错误|状态码?|返回码|返回值?|退出码|故障码|故障代码|报错|代码|编码|代号|型号|车型|机型|区号|口令|校验码|取件码"
    "|(?<=[A-Z])座|尾号|分机号?|单元|号楼|栋|幢|波音|空客|诺基亚|权限(?:设置?)?|国标|票号|考号|航班号|柜号|户号|室号|楼号|(?<=[0-9])转|色号|考场|后[三四六]位|(?<=[0-9][层楼])|会议号|群号|会员号|QQ群|微信群"
)
_BEHIND = (
    "室(?!内|外|温)|号?房(?!客|东|屋|源|产|价|租|贷|企|子|款|的)|房间|病房|教室|寝室|宿舍|包厢|包间|会议室|办公室|错误|报错|国道|省道|县道"
    "|高地|型(?!号)"
)
_OF_GROUPS = "(?<![A-Za-z])(?i:id)|会议号|群号|会员号|[卡账帐单证编]号|号码"
_IN_PARTS = "图|表|公式|例|会议室|教室|宿舍|房间号?|房号|取件码|柜号|车位号?"
_FAR = 32  # characters between an identifier and the first of the word that announces it
_NO_PORTS = "交换机|集线器|路由器|的?设备"
_BUS = "公交|公共|汽车|车|巴士|电车|末班|首班"
# Latin words in small letters that identifiers stand behind.
_COMMANDS = "chmod|umask|perm|mode|port|error|errno|exit|status|code|uid|gid|pid|kill|room|bug|page|id|http"
# Capitalised ones that amounts stand behind.
_OF_AMOUNTS = (
    "TOP|Top|MAX|MIN|Min|IQ|EQ|GDP|CPI|PPI|BMI|EPS|ROE|DPI|FPS|RPM|PM|USD|EUR|RMB|CNY|JPY|HKD|KRW|GBP|INR|RUB|CHF|AUD"
    "|CAD|NZD|SGD|TWD|BRL|USDT|BTC|The|Over|About|Only|Up|To|Of|In|By|At|For|Than|With|From|And|Or|Is|Was|We|You|They|It|This|That|All"
    "|More|Less|Some|Nearly|Almost"
)
_PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# What is known by its number.
_KNOWN = (
    "(?:985|211)(?=[ 、/和]?(?:985|211|高校|大学|工程|院校|名校|毕业|硕士|学校|本科))"
    "|[2-4]86(?=[、和]?(?:[2-5]86|奔腾|电脑|处理器|芯片|系列))|996(?=工作|上班|制|的|式|公司|福报)"
    "|(?<=Windows )9[58]|(?<=[哈铁太])6{2,6}(?![0-9])|(?<=[，,。！! ])6{3,6}(?=[。！!~]*$)"
    "|(?<=哈)23{2,6}(?![0-9])|(?<=[了笑])23{4,6}(?![0-9])"
    "|520(?=表白|快乐|情人节|当天|那天|礼物|告白|节)|618(?=购物|活动|期间|电商|年中|狂欢)"
    "|[0-9]{3}(?=医院|中学|胶水|部队|工程|香烟|感冒灵|牛仔裤)|360(?=安全|杀毒|浏览器|公司|手机|搜索)|58(?=同城)|84(?=消毒)"
    "|(?:12306|10086|10010|12315|12345|955[0-9]{2})"
)


def identifier_rules() -> Iterator[Rule]:
    """The rules, the surest first."""
    units = alternatives(LEXICONS["zh"].units)
    about = "[年月]|日(?!期)|时(?!间)|点(?!击)|以[上下内外]|左右|起(?![来飞])|出头|开外"
    no_count = rf"(?! ?(?:{COUNTED}|{about}|(?:{units})(?![{LETTER}])))(?! [a-z]+s\b)"
    words = f"(?:{_BEFORE}|{LEXICONS['zh'].context['card_before']})[为是:：=]? ?"
    names = rf"(?:(?i:{_COMMANDS})|(?<= )-[A-Za-z]|(?<![$.@'’-])(?!(?:{_OF_AMOUNTS}) )[A-Z][A-Za-z]{{0,19}})"
    # Looked for only before numbers, which are rarer than letters.
    introduced = re.compile(rf"(?:{words}[（(“\"]?|(?<![A-Za-z0-9_]){names} )(?:[0-9]{{3,8}}[、和或及])*$")

    def code(match: re.Match[str]) -> str:
        before = match.string[max(0, match.start() - _FAR) : match.start()]
        return digits(match[0], "zh") if introduced.search(before) else match[0]

    # A page of the manual and what else stands in brackets behind a Latin word; the brackets go later.
    yield (
        r"\((?:(?<=[A-Za-z_]\()|(?<=[A-Za-z][0-9]\()|(?<=[A-Za-z][0-9]{2}\()) ?([0-9]{1,8}) ?\)",
        lambda m: f"({_named(m[1])})",
    )
    yield rf"((?i:bug|issue|ticket|缺陷|工单) ?)# ?([0-9]{{2,9}}){END}", _digits
    yield rf"(?<!\w)(['’])([0-9]{{2}}){END}(?!['’])", _digits  # a year
    yield rf"(?<![\w#&/])#([0-9]{{1,9}}){END}(?!号|{COUNTED})", lambda m: f"{_named(m[1])}号"
    groups = r"[0-9]{3,4}(?: [0-9]{3,4}){1,4}"
    yield (
        rf"((?:{_IN_PARTS})[为是:：]? ?)([0-9]{{1,4}}(?:-[0-9]{{1,4}}){{1,3}}){END}(?!-|{COUNTED})",
        lambda m: m[1] + "杠".join(map(_named, m[2].split("-"))),
    )
    yield rf"((?:{_OF_GROUPS})[为是:：=]? ?){START}({groups}){END}(?! ?[0-9]){no_count}", _digits
    yield rf"(端口号?[，,]?即?[为是:：=]? ?[（(“\"]?){START}([0-9]{{2,5}}){END}{no_count}", _digits
    yield r"([（(])([0-9]{2,5})(?=[)）]端口)", _digits
    yield rf"(){START}([0-9]{{2,5}}){END}(?= ?号?端口(?!{_NO_PORTS}))", _digits
    yield rf"(){START}([0-9]{{3,4}}){END}(?= ?(?:{_BEHIND}))", _digits
    yield rf"(){START}([0-9]{{3}}){END}(?=路(?:{_BUS}))", _digits
    yield rf"([坐乘搭]|换乘|改乘|换){START}([0-9]{{3}}){END}(?=路)", _digits
    yield rf"(){START}({_KNOWN})(?![0-9]){no_count}", _digits
    standard = r"(?<![A-Za-z0-9_])((?:IEEE|ISO|RFC|IEC|ANSI|EN|(?:GB|GJB|JB|YY|DB)(?:/[TZ])?) )"
    yield rf"{standard}{START}([0-9]{{3,5}})(\.[0-9]{{1,2}})?{END}{no_count}", _standard
    yield rf"{START}[0-9]{{3,8}}{END}{no_count}", code
    yield r"(?<![A-Za-z0-9])([GDKTZCYSL])([1-9][0-9]{0,3})(?=次)", _digits
    yield rf"(?<=[{_PLATES}])([A-Z]·?)([0-9]{{5}}){END}", _digits
    yield rf"(航班号?[:：]? ?[A-Z]{{2}})([0-9]{{3,4}}){END}", _digits
    yield r"(?<![A-Za-z0-9])([A-Z]{2})([0-9]{3,4})(?=次?航班)", _digits


def _digits(match: re.Match[str]) -> str:
    return match[1] + re.sub("[0-9]+", lambda number: digits(number[0], "zh"), match[2])


def _standard(match: re.Match[str]) -> str:
    part = f"点{digits(match[3][1:], 'zh')}" if match[3] else ""
    return f"{match[1]}{digits(match[2], 'zh')}{part}"


def _named(written: str) -> str:
    """A number of one or two digits as such, a longer one digit by digit."""
    return digits(written, "zh") if len(written) > 2 or written[0] == "0" else cardinal(int(written), "zh")


def version_rules() -> Iterator[Rule]:
    """ "3.3.1", "v2.1", "第 2.10 节", "192.168.1.1:8080"."""

    def address(match: re.Match[str]) -> str:
        host, mask, port = match.groups()
        if any(int(part) > 255 for part in host.split(".")):
            return match[0]
        behind = f"斜杠{cardinal(int(mask), 'zh')}" if mask else f"冒号{digits(port, 'zh')}" if port else ""
        return "点".join(digits(part, "zh") for part in host.split(".")) + behind

    end = rf"{END}(?!-[A-Za-z])(?!\.[xX])"
    no_groups = r"(?![0-9]{1,3}(?:\.[0-9]{3})+(?![0-9.]))"  # "1.234.567"
    yield rf"{START}([0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}})(?:/([0-9]{{1,2}})|:([0-9]{{2,5}}))?{end}", address
    yield rf"{START}{no_groups}[0-9]{{1,4}}(?:\.[0-9]{{1,5}}){{2,5}}{end}", _parts
    yield rf"(?<![A-Za-z0-9_.-])([vV]\.?)([0-9]{{1,4}}(?:\.[0-9]{{1,5}}){{1,5}}){end}", _behind_letter
    yield rf"(?:(?<=第)|(?<=第 ))(?:[0-9]{{1,3}}\.[0-9]{{1,3}}){END}(?= ?(?:小?节|章|条|款))", _parts


def _parts(match: re.Match[str]) -> str:
    return "点".join(map(_named, match[0].split(".")))


def _behind_letter(match: re.Match[str]) -> str:
    return match[1] + "点".join(map(_named, match[2].split(".")))
