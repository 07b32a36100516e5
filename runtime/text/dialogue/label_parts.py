"""Regular expressions for the parts of speaker labels, and the spelling of a numbered speaker."""

from __future__ import annotations

# Every repetition is bounded, so that no text takes more than linear time.
HIDDEN = "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_SPACE = rf"[ \t\r\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000{HIDDEN}]"
SPACES = rf"{_SPACE}{{0,40}}"
_TIME = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?:[ \u00a0\u202f]?[AaPp]\.?[Mm]\.?)?"
_DAY = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}[,T]?[ \u00a0]?"
STAMP = rf"(?:[\[(<](?:{_DAY})?{_TIME}[\])>]|(?:{_DAY})?{_TIME})(?:{SPACES}[-–—|])?"
MARKS = r"[*_]{0,3}"
EMOJI = "[\u2600-\u27bf\U0001f300-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?"
ITEM = rf"(?:[-–—•]|\d{{1,3}}[.)](?={_SPACE})|#{{1,6}}(?={_SPACE})|(?:{EMOJI}){{1,3}})"
_NO_LETTERS = r"\u2600-\u27bf\U0001f300-\U0001faff\s:：()\[\]（）【】*<>\"“”«»‹›„「」『』,，、;；!！?？…。|/=#{}"
_WORD = rf"[^{_NO_LETTERS}{HIDDEN}][^{_NO_LETTERS}]{{0,23}}"
_GAP = r"[ \t\u00a0\u202f]{1,3}"
NAME = rf"{_WORD}(?:{_GAP}{_WORD}){{0,3}}(?:{_GAP}\#\d{{1,3}})?"
SHORT_NAME = rf"{_WORD}(?:{_GAP}{_WORD}){{0,3}}?"  # where what may be a part of it stands behind
_NO_TAG = r"(?!\s{0,9}[Ss](?:[Pp][Ee][Aa][Kk][Ee][Rr][ \t_#-]{0,3})?\d)"
ASIDE = rf"(?:\([^()\n]{{0,60}}\)|（[^（）\n]{{0,60}}）|\[{_NO_TAG}[^\[\]\n]{{0,60}}\]|【[^【】\n]{{0,60}}】)"
SPEAKER_NUMBER = r"SPEAKER[ \t_#-]{0,3}([0-9]{1,4})(?![0-9])"  # in any case: SPEAKER0, speaker_00, Speaker #1
