"""Where a sentence ends and where it only seems to, and what no cut may fall into."""

from __future__ import annotations

import pytest

from runtime.text.sentences import belong_together, sentences

# Sentences, parted by "|".
TEXTS = [
    ("en", "Dr. Smith met Mr. and Mrs. Jones at 5 p.m. in St. Louis. |They had $5 million, e.g. in "
           "bonds. |The U.S. Army paid."),
    ("en", "Call (415) 555-0142 now. |We meet on March 14, 2026. |J. R. R. Tolkien wrote it. |Yahoo! said no. |Fine."),
    ("en", "She asked, “Where is he?” and left. |“I know,” he said. |(He was right.) |Version 2.5.1 "
           "is out at www.example.com. "
           "|See No. 5, fig. 3 and pp. 12 ff."),
    ("en", "Wait... what? |No. |I won't. |He ran 5 km. |It cost 3.5 million. |Then Jan. 5 came."),
    ("es", "El Sr. Pérez y la Sra. Ruiz llegaron a las 5 p. m. del 24 de diciembre de 2025. |¿Qué "
           "tal? |¡Hola! dijo ella. "
           "|Véase la pág. 12, art. 3, p. ej. el título. |Ud. sabe."),
    ("es", "La Cía. de Jesús fundó el colegio. |«¿Vienes?» preguntó. |«No.» |Vive en la Av. Bolívar núm. 5."),
    ("fr", "M. Dupont et Mme Roy sont là. |« Bonjour ! » dit-il. |Le 1er mai, p. ex., il dort. "
           "|Voir art. 5, cf. p. 12. "
           "|Mgr. Ligny est venu. |Et toi ? |Oui."),
    ("fr", "Il a dit : « Viens. » |Elle est partie à 8 h. |J.-P. Sartre écrivait. |Le livre coûte 1 234 567 €."),
    ("zh", "他说：“你好。”|她笑了。|「好吧。」|她说。|今天是2025年9月28日。|真的吗？！|太好了……|我们走吧。"),
    ("en", "We left at 5 p.m. |The train was late. |It was 1990. |Then 5 came."),
    ("es", "Hay pan, leche, etc. |Después salimos."),
    ("es", "Vivió entre el 63 a. C. y el 14 d. C. en Roma. |Murió a las 5 a. m. del lunes."),
    ("es", "Hubo reyes a. C. y d. C. en todas partes. |Fin."),
    ("de", "Nr. 5 lebt am 3. Mai in Berlin. |Das ist z. B. gut. |Dr. Müller kommt."),
]  # fmt: skip
WHOLE = [
    ("en", "It cost $5 ", "million."), ("en", "on March ", "14, 2026"), ("en", "on March 14, ", "2026"),
    ("en", "(415) ", "555-0142"), ("en", "Louis ", "XIV"), ("en", "see Nr. ", "5"), ("en", "3 ", ": 16"),
    ("en", "run 5 ", "km"), ("en", "at 5 p. ", "m."), ("en", "Mr. ", "Jones"), ("en", "J. ", "Tolkien"),
    ("es", "el 24 ", "de diciembre"), ("es", "24 de ", "diciembre"), ("es", "24 de diciembre ", "de 2025"),
    ("es", "diciembre de ", "2025"), ("es", "a las 5 p. ", "m."), ("fr", "le 1er ", "mai"), ("fr", "1 234 ", "567"),
    ("fr", "il dit « ", "viens"), ("fr", "tu dors ", "!"), ("fr", "20 ", "%"), ("fr", "M. ", "Dupont"),
    ("en", "in World War ", "II so"), ("en", "Super Bowl ", "LIV"), ("es", "siglo de Carlos ", "V de"),
    ("fr", "à 17 h ", "30"), ("es", "el 63 a. ", "C. murió"), ("es", "y d. ", "C. también"), ("en", "5 – ", "10 km"),
    ("zh", "2025年", "9月28日"), ("zh", "9月", "28日"), ("zh", "28", "日"),
]  # fmt: skip
APART = [
    ("en", "we came, ", "we saw"), ("en", "he left ", "the house"), ("en", "it was 1990. ", "Then he left"),
    ("es", "vino ayer, ", "y se fue"), ("fr", "il dort, ", "elle lit"), ("zh", "我们", "走吧"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text"), TEXTS)
def test_a_paragraph_is_parted_where_its_sentences_end(language: str, text: str) -> None:
    assert list(sentences(text.replace("|", ""), language)) == text.split("|")


@pytest.mark.parametrize(("language", "left", "right"), WHOLE)
def test_what_is_said_in_one_belongs_together(language: str, left: str, right: str) -> None:
    assert belong_together(left, right, language)


@pytest.mark.parametrize(("language", "left", "right"), APART)
def test_other_words_can_be_parted(language: str, left: str, right: str) -> None:
    assert not belong_together(left, right, language)
