"""What symbols are called in each language whose numbers are written out: months, money, measures, and small words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """What is counted, for one and for many of it."""

    one: str
    many: str
    feminine: bool = False


@dataclass(frozen=True)
class Money:
    """A currency and its hundredth; `hundredth` is None where the language reads decimals of the currency instead."""

    whole: Noun
    hundredth: Noun | None


@dataclass(frozen=True)
class Lexicon:
    """One language's words. `thousands` are the characters that may group digits, `decimal` those before a fraction."""

    thousands: str
    decimal: str
    day_first: bool
    point: str
    minus: str
    plus: str
    to: str
    percent: str
    cents: str  # between whole currency and hundredths
    months: tuple[str, ...]
    money: dict[str, Money]
    units: dict[str, Noun]
    magnitudes: tuple[str, ...]  # words that may stand between an amount and its currency


def _same(word: str) -> Noun:
    return Noun(word, word)


_EN_CENT = Noun("cent", "cents")
_ES_CENT = Noun("céntimo", "céntimos")
_ES_CENTAVO = Noun("centavo", "centavos")
_FR_CENT = Noun("centime", "centimes")
_FR_CENT_US = Noun("cent", "cents")

_EN = Lexicon(
    thousands=",",
    decimal=".",
    day_first=False,
    point="point",
    minus="minus",
    plus="plus",
    to="to",
    percent="percent",
    cents="and",
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    money={
        "$": Money(Noun("dollar", "dollars"), _EN_CENT),
        "€": Money(Noun("euro", "euros"), _EN_CENT),
        "£": Money(Noun("pound", "pounds"), Noun("penny", "pence")),
        "¥": Money(_same("yen"), None),
    },
    units={
        "km/h": Noun("kilometer per hour", "kilometers per hour"),
        "m/s": Noun("meter per second", "meters per second"),
        "mph": Noun("mile per hour", "miles per hour"),
        "km²": Noun("square kilometer", "square kilometers"),
        "m²": Noun("square meter", "square meters"),
        "m³": Noun("cubic meter", "cubic meters"),
        "km": Noun("kilometer", "kilometers"),
        "m": Noun("meter", "meters"),
        "cm": Noun("centimeter", "centimeters"),
        "mm": Noun("millimeter", "millimeters"),
        "kg": Noun("kilogram", "kilograms"),
        "g": Noun("gram", "grams"),
        "mg": Noun("milligram", "milligrams"),
        "l": Noun("liter", "liters"),
        "L": Noun("liter", "liters"),
        "ml": Noun("milliliter", "milliliters"),
        "lb": Noun("pound", "pounds"),
        "lbs": Noun("pound", "pounds"),
        "oz": Noun("ounce", "ounces"),
        "ft": Noun("foot", "feet"),
        "mi": Noun("mile", "miles"),
        "h": Noun("hour", "hours"),
        "min": Noun("minute", "minutes"),
        "ms": Noun("millisecond", "milliseconds"),
        "s": Noun("second", "seconds"),
        "Hz": _same("hertz"),
        "kHz": _same("kilohertz"),
        "MHz": _same("megahertz"),
        "GHz": _same("gigahertz"),
        "kW": Noun("kilowatt", "kilowatts"),
        "kWh": Noun("kilowatt hour", "kilowatt hours"),
        "KB": Noun("kilobyte", "kilobytes"),
        "MB": Noun("megabyte", "megabytes"),
        "GB": Noun("gigabyte", "gigabytes"),
        "TB": Noun("terabyte", "terabytes"),
        "°C": Noun("degree Celsius", "degrees Celsius"),
        "°F": Noun("degree Fahrenheit", "degrees Fahrenheit"),
        "°": Noun("degree", "degrees"),
    },
    magnitudes=("thousand", "million", "billion", "trillion"),
)  # fmt: skip

_ES = Lexicon(
    thousands=". ",
    decimal=",.",
    day_first=True,
    point="coma",
    minus="menos",
    plus="más",
    to="a",
    percent="por ciento",
    cents="con",
    months=(
        "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre",
        "diciembre",
    ),
    money={
        "$": Money(Noun("dólar", "dólares"), _ES_CENTAVO),
        "€": Money(Noun("euro", "euros"), _ES_CENT),
        "£": Money(Noun("libra", "libras", feminine=True), Noun("penique", "peniques")),
        "¥": Money(Noun("yen", "yenes"), None),
    },
    units={
        "km/h": Noun("kilómetro por hora", "kilómetros por hora"),
        "m/s": Noun("metro por segundo", "metros por segundo"),
        "km²": Noun("kilómetro cuadrado", "kilómetros cuadrados"),
        "m²": Noun("metro cuadrado", "metros cuadrados"),
        "m³": Noun("metro cúbico", "metros cúbicos"),
        "km": Noun("kilómetro", "kilómetros"),
        "m": Noun("metro", "metros"),
        "cm": Noun("centímetro", "centímetros"),
        "mm": Noun("milímetro", "milímetros"),
        "kg": Noun("kilogramo", "kilogramos"),
        "g": Noun("gramo", "gramos"),
        "mg": Noun("miligramo", "miligramos"),
        "l": Noun("litro", "litros"),
        "L": Noun("litro", "litros"),
        "ml": Noun("mililitro", "mililitros"),
        "t": Noun("tonelada", "toneladas", feminine=True),
        "h": Noun("hora", "horas", feminine=True),
        "min": Noun("minuto", "minutos"),
        "ms": Noun("milisegundo", "milisegundos"),
        "s": Noun("segundo", "segundos"),
        "Hz": Noun("hercio", "hercios"),
        "kHz": Noun("kilohercio", "kilohercios"),
        "MHz": Noun("megahercio", "megahercios"),
        "GHz": Noun("gigahercio", "gigahercios"),
        "kW": Noun("kilovatio", "kilovatios"),
        "kWh": Noun("kilovatio hora", "kilovatios hora"),
        "KB": Noun("kilobyte", "kilobytes"),
        "MB": Noun("megabyte", "megabytes"),
        "GB": Noun("gigabyte", "gigabytes"),
        "TB": Noun("terabyte", "terabytes"),
        "°C": Noun("grado Celsius", "grados Celsius"),
        "°F": Noun("grado Fahrenheit", "grados Fahrenheit"),
        "°": Noun("grado", "grados"),
    },
    magnitudes=("mil", "millón", "millones"),
)  # fmt: skip

_FR = Lexicon(
    thousands=". ",
    decimal=",.",
    day_first=True,
    point="virgule",
    minus="moins",
    plus="plus",
    to="à",
    percent="pour cent",
    cents="et",
    months=(
        "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
        "décembre",
    ),
    money={
        "$": Money(Noun("dollar", "dollars"), _FR_CENT_US),
        "€": Money(Noun("euro", "euros"), _FR_CENT),
        "£": Money(Noun("livre", "livres", feminine=True), Noun("penny", "pence")),
        "¥": Money(Noun("yen", "yens"), None),
    },
    units={
        "km/h": Noun("kilomètre par heure", "kilomètres par heure"),
        "m/s": Noun("mètre par seconde", "mètres par seconde"),
        "km²": Noun("kilomètre carré", "kilomètres carrés"),
        "m²": Noun("mètre carré", "mètres carrés"),
        "m³": Noun("mètre cube", "mètres cubes"),
        "km": Noun("kilomètre", "kilomètres"),
        "m": Noun("mètre", "mètres"),
        "cm": Noun("centimètre", "centimètres"),
        "mm": Noun("millimètre", "millimètres"),
        "kg": Noun("kilogramme", "kilogrammes"),
        "g": Noun("gramme", "grammes"),
        "mg": Noun("milligramme", "milligrammes"),
        "l": Noun("litre", "litres"),
        "L": Noun("litre", "litres"),
        "ml": Noun("millilitre", "millilitres"),
        "t": Noun("tonne", "tonnes", feminine=True),
        "h": Noun("heure", "heures", feminine=True),
        "min": Noun("minute", "minutes", feminine=True),
        "ms": Noun("milliseconde", "millisecondes", feminine=True),
        "s": Noun("seconde", "secondes", feminine=True),
        "Hz": _same("hertz"),
        "kHz": _same("kilohertz"),
        "MHz": _same("mégahertz"),
        "GHz": _same("gigahertz"),
        "kW": Noun("kilowatt", "kilowatts"),
        "kWh": Noun("kilowattheure", "kilowattheures"),
        "Ko": Noun("kilooctet", "kilooctets"),
        "Mo": Noun("mégaoctet", "mégaoctets"),
        "Go": Noun("gigaoctet", "gigaoctets"),
        "To": Noun("téraoctet", "téraoctets"),
        "°C": Noun("degré Celsius", "degrés Celsius"),
        "°F": Noun("degré Fahrenheit", "degrés Fahrenheit"),
        "°": Noun("degré", "degrés"),
    },
    magnitudes=("mille", "million", "millions", "milliard", "milliards"),
)  # fmt: skip

_ZH = Lexicon(
    thousands=",",
    decimal=".",
    day_first=False,
    point="点",
    minus="负",
    plus="正",
    to="到",
    percent="百分之",
    cents="",
    months=("一月", "二月", "三月", "四月", "五月", "六月", "七月", "八月", "九月", "十月", "十一月", "十二月"),
    money={
        "$": Money(_same("美元"), None),
        "€": Money(_same("欧元"), None),
        "£": Money(_same("英镑"), None),
        "¥": Money(_same("元"), None),
    },
    units={
        "km/h": _same("公里每小时"), "m/s": _same("米每秒"), "km²": _same("平方公里"), "m²": _same("平方米"),
        "m³": _same("立方米"), "km": _same("公里"), "m": _same("米"), "cm": _same("厘米"), "mm": _same("毫米"),
        "kg": _same("公斤"), "g": _same("克"), "mg": _same("毫克"), "l": _same("升"), "L": _same("升"),
        "ml": _same("毫升"), "t": _same("吨"), "h": _same("小时"), "min": _same("分钟"), "ms": _same("毫秒"),
        "s": _same("秒"), "Hz": _same("赫兹"), "kHz": _same("千赫"), "MHz": _same("兆赫"), "GHz": _same("吉赫"),
        "kW": _same("千瓦"), "kWh": _same("千瓦时"), "°C": _same("摄氏度"), "°F": _same("华氏度"), "°": _same("度"),
    },
    magnitudes=("万", "亿", "万亿", "千", "百万"),
)  # fmt: skip

LEXICONS = {"en": _EN, "zh": _ZH, "es": _ES, "fr": _FR}
