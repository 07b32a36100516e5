"""What never reaches the model, and that no word goes with it."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.formats.errors import InvalidRequestError
from runtime.text.cleaning import cleaned, legible
from runtime.text.text_input import either, read_text
from tests.text.growth import assert_linear


def said(text: str) -> str:
    """What of a text is said, white space squeezed."""
    return " ".join(cleaned(legible(text)).split())


@pytest.mark.parametrize(
    "text, expected",
    [
        ("co\u00adope\u00adrate", "cooperate"),
        ("exam\u00ad\nple and ex\u00ad  \r\n  ample", "example and example"),
        ("super\u200bcali\u2060fragi\ufefflistic", "supercalifragilistic"),
        ("\ufeffFirst words", "First words"),
        ("\u202aleft\u202c \u200fright\u200e \u2066in\u2069", "left right in"),
        ("text\ufe0e style\U000e0101 t\U000e0061\U000e007fag", "text style tag"),
        ("na\u200dme n\u200came", "name name"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष क्\u200cष", "क्\u200dष क्\u200cष"),
        ("bell\x07rings \x1b[31;1mred\x1b[0m", "bell rings red"),
        ("page one\x0cpage\x85two\u2028three\u2029four", "page one page two three four"),
        ("c1\x9dcontrol \x7f delete", "c1 control delete"),
        ("icon\ue000font \U000f0000 \u0378 unassigned", "icon font unassigned"),
        ("picture\ufffcgone lost\ufffdbyte", "picture gone lost byte"),
        ("cafe\u0301 n\u0303o", "café ño"),
        ("ＡＢＣ１２３ ｘｙｚ", "ABC123 xyz"),
        ("eﬃcient ﬁne ﬂow", "efficient fine flow"),
        ("𝐛𝐨𝐥𝐝 𝟏𝟐𝟑 𝓈𝒸𝓇𝒾𝓅𝓉", "bold 123 script"),
    ],
)
def test_the_invisible_goes_and_words_stay_whole(text: str, expected: str) -> None:
    assert said(text) == expected


def test_lines_and_paragraphs_stay_apart() -> None:
    assert legible("one\u2028two\r\nthree\rfour\x0bfive") == "one\ntwo\nthree\nfour\nfive"
    assert legible("one\u2029two") == "one\n\ntwo"


def test_no_break_spaces_stay_for_those_who_read_them() -> None:
    assert legible("Anne\u00a0: oui\u202f! 1\u202f000") == "Anne\u00a0: oui\u202f! 1\u202f000"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("it&#8217;s &quot;fine&quot;", 'it’s "fine"'),
        ("Rock &amp; Roll", "Rock & Roll"),
        ("a&nbsp;b &lt;c&gt;", "a b <c>"),
        ("&#x20AC;5 &eacute;t&eacute; &hellip;", "€5 été …"),
        ("&amp;#8217;twas &amp;amp; so", "’twas & so"),
        ("AT&T, R&D; a &unknown; b &copy2", "AT&T, R&D; a &unknown; b &copy2"),
        ("so&shy;ft &zwj;x &#0; &#xD800;", "soft x"),
    ],
)
def test_entities_are_what_they_stand_for(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("<p>Hello <b>bold</b> word</p><p>Two</p>", "Hello bold word\n\nTwo"),
        ("Hello<br>World<br/>\nAgain", "Hello\nWorld\nAgain"),
        ("a<!-- 5 -->b<script>var x = 5;</script><STYLE>p {}</STYLE>", "a b"),
        ('A <a href="http://x.y/z?a=1">link</a>, <img src=x.png alt="t">and', "A link, and"),
        ("<ul><li>one</li><li class='x'>two</li></ul>", "one\n\ntwo"),
        ("<table><tr><td>name</td><td>age</td></tr><tr><td>Anna</td><td>5</td></tr></table>", "name, age\n\nAnna, 5"),
        ("10<sup>2</sup> H<sub>2</sub>O", "10² H2O"),
        ("&lt;p&gt;escaped &lt;i&gt;once&lt;/i&gt;&lt;/p&gt;", "escaped once"),
        ("<html><head><title>Page</title></head><body><h1>Top</h1>Text</body></html>", "Top\n\nText"),
    ],
)
def test_of_html_what_a_browser_shows_stays(text: str, expected: str) -> None:
    assert re.sub(r"[ \t]*\n\s*\n\s*", "\n\n", cleaned(legible(text))) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Text.[1] More.[2, 3] And [^4].", "Text. More. And."),
        ("Text.[1] More.\n\n[1]: https://a.b", "Text. More."),
        ("We met[3] him in 1999.[4][5]", "We met him in 1999."),
        ("“Yes.”[12] Then,[1–3] on", "“Yes.” Then, on"),
        ("是真的。[1]他走了[2]。", "是真的。他走了。"),
        ("Il dort[7], elle lit.[8]", "Il dort, elle lit."),
    ],
)
def test_footnote_marks_go(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("# Title\nText", "Title\n\nText"),
        ("### Learn C# ###", "Learn C#"),
        ("Title\n=====\nText", "Title\n\nText"),
        ("*a* _b_ **c** __d__ ***e*** ~~f~~ `g`", "a b c d e f g"),
        ("**bold *and* more** _with snake_case in it_", "bold and more with snake_case in it"),
        ("我**很**好。", "我很好。"),
        ('[words](https://a.b/c_(d) "title") and ![picture](x.png)', "words and picture"),
        ("[![badge](a.svg)](http://b.c)", "badge"),
        ("[see][1] and [that]\n\n[1]: https://a.b\n[that]: /x 'T'", "see and that"),
        ("<https://a.b/c>", "https://a.b/c"),
        ("a claim[^1]", "a claim"),
        ("- one\n* two\n+ three\n• four\n- [x] five\n- [ ] six", "one\n\ntwo\n\nthree\n\nfour\n\nfive\n\nsix"),
        ("> quoted\n> > twice\n>so", "quoted\ntwice\nso"),
        ("before\n\n---\n\nafter\n* * *\nend\n___", "before\n\nafter\n\nend"),
        ("| name | age |\n|:--|--:|\n| Anna | 5 |\n| Bob | 6 |\nend", "name, age\n\nAnna, 5\n\nBob, 6\n\nend"),
        ("a | b\n--|--\n1 | 2", "a, b\n\n1, 2"),
        ("a ==mark== and ++more++, a == b, C++ and D++", "a mark and more, a == b, C++ and D++"),
        ("a line\\\nand the next", "a line\nand the next"),
        ("```python\nprint(1)\n```\nDone", "print(1)\nDone"),
        (r"\*not emphasis\* \# no heading", "*not emphasis* # no heading"),
    ],
)
def test_markdowns_marks_go_and_its_words_stay(text: str, expected: str) -> None:
    assert re.sub(r"[ \t]*\n\s*\n\s*", "\n\n", cleaned(legible(text))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 = 24, a*b, f(x)=x*y, 2 * 3, 2**3**4",
        "snake_case and __x, a_b_c",
        "#1 of 3, C# and F#, issue #12",
        ">5 or > 5, x > y, <3",
        "[laugh] Well [music start] la [SPEAKER1] yes [10:02] [laugh](quietly)",
        "array[0](x) and [sic] (see there) [he](him)",
        "5 - 3, 3-0, -5 degrees, yes - no",
        "one | two, a || b",
        "a < b and c > d, if a<b then b>a, x <i and j> y",
        "I <3 you, <|end|> <SE>[Laughter]</SE> <T> List<string> <you are here>",
        "x[1] = 5, foo[2].bar and list[3] = 2, (5) of [7]",
        "footnote* and **, a * star, ~5, ~~ and `",
        "C:\\Users\\anna",
        "Hmm... ___ ok",
        "B♭ and F♯, 20 °C, © 2020 Acme™, № 5, a → b, ½",
    ],
)
def test_what_only_looks_like_a_mark_stays(text: str) -> None:
    assert said(text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Hello😀world", "Hello world"),
        ("Great 😀. Really 🎉🎉!", "Great. Really!"),
        ("👍🏽 yes 👨\u200d👩\u200d👧 family 🇫🇷", "yes family"),
        ("I ❤️ it ✓ ★", "I it"),
        ("Press 1️⃣ or #️⃣", "Press 1 or #"),
        ("♪ la la ♪", "la la"),
        ("你好😀世界", "你好 世界"),
        ("✅ one\n✅ two", "one two"),
    ],
)
def test_emoji_are_silence_and_glue_nothing(text: str, expected: str) -> None:
    assert said(text) == expected


WORDS = st.from_regex(r"\A[a-zàéñ][a-z0-9éß]{0,5}\Z") | st.sampled_from(
    ["7", "42", "2026", "Ünï", "ﬁn", "слово", "中文"]
)
GAPS = st.sampled_from(
    [" ", "  ", "\n", "\n\n", "😀", " 👨\u200d👩\u200d👧 ", "\x07", "\x0c", "\u2028", "\u2029", "\ue000", " **", "** ",
     " *", "* ", " _", "_ ", "\n- ", "\n# ", "\n> ", " | ", "\n|---|\n", "|\n|", "\n---\n", " ~~", "~~ ", " `", "` ",
     "\n```\n", ", ", ". ", " \u200b", "\u00ad ", "\u00a0", " & ", " > ", " # ", " [laugh] ", "\ufeff ", "\n=====\n",
     "](", " [", "] "]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(GAPS, WORDS), min_size=1, max_size=25))
def test_no_word_is_lost_or_glued_to_its_neighbour(pieces: list[tuple[str, str]]) -> None:
    text = "".join(gap + word for gap, word in pieces)
    kept = re.findall(r"[^\W_]+", cleaned(legible(text)))
    expected = [
        unicodedata.normalize("NFKC", word) for gap, word in pieces for word in (*re.findall("laugh", gap), word)
    ]
    assert kept == expected


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00[&"), max_size=60))
def test_of_any_text_every_letter_and_digit_stays(text: str) -> None:
    def alnum(value: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFKC", value) if c.isalnum())

    fillers = "".join(
        c for c in text if not re.match("[\u115f\u1160\u3164\uffa0\u17b4\u17b5\u2300-\u2bff\U0001f000-\U0001faff]", c)
    )
    if not re.search(r"```|~~~|<!--", text):  # code and comments are not said
        assert alnum(cleaned(legible(fillers))) == alnum(fillers)
    once = legible(text)
    assert legible(once) == once


@pytest.mark.slow
@pytest.mark.parametrize(
    "repeated",
    ["This *is* a – “normal” sentence & 3 numbers, a [link](http://x.y) and some_word, for quite a while. ",
     "*a", "**a ", "[a](b", "`a ``", "# ", " "],
)  # fmt: skip
def test_no_text_takes_more_than_linear_time(repeated: str) -> None:
    assert_linear(lambda text: cleaned(legible("# " + text)), repeated, 32_768)


def test_a_text_is_cleaned_before_its_speakers_are_sought_and_after() -> None:
    content = read_text("\ufeffAnna: Good\u00ad morning 😀 *dear* Bob.\nBob: It&#8217;s #1!", 1000)
    assert [(turn.speaker, turn.text) for turn in content.turns] == [
        ("Anna", "Good morning dear Bob."),
        ("Bob", "It’s #1!"),
    ]
    messages = [{"role": "system", "content": "Be\u200b calm"}, {"role": "user", "content": "**Hi** \x07 there"}]
    content = read_text(json.dumps(messages), 1000)
    assert ([" ".join(turn.text.split()) for turn in content.turns], content.system) == (["Hi there"], "Be calm")
    assert either("scene", "quiet\u200b room", None) == "quiet room"


@pytest.mark.parametrize("text", ["a\x00b", "half \ud83d", json.dumps([{"role": "user", "content": "a\x00b"}])])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"text holds the character U\+(0000|D83D)"):
        read_text(text, 1000)


@pytest.mark.parametrize("text", ["\u200b", "&nbsp;", "\ufeff", "\x07", "&#0;", "<p></p>", "\u2060 \u200e"])
def test_a_text_of_nothing_is_said_to_be_one(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="text holds no letter or digit; there is nothing to say"):
        read_text(text, 1000)
