"""A book that was wrapped: every part ends where a sentence does, or a clause of a sentence that is too long."""

from __future__ import annotations

import random
import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.text.chunking import chunk

pytestmark = pytest.mark.slow

SENTENCES = Path(__file__).with_name("language_sentences")
WORDS = 10_000  # characters, in Chinese
CHUNK_WORDS = 45
TRICKY = {
    "en": [
        "Dr. Smith and Mrs. Jones met Mr. Hale at 5 p.m. on Baker St. near No. 221.",
        "Call (415) 555-0142 before March 14, 2026, or write to the office at www.example.com/help.",
        "They raised $5 million, i.e. far more than the U.S. fund had asked for.",
        "“Where is he?” she asked, and nobody answered.",
        "“I know,” said J. R. R. Tolkien’s neighbour, “but it is late.”",
        "Yahoo! said on Jan. 5 that version 2.5.1 would be the last.",
        "(The door was never locked.)",
        "Wait... what did Prof. Lund say about fig. 3 and pp. 12 to 19?",
        "Louis XIV reigned for 72 years, and St. Simon wrote about most of them.",
        "It weighs 3.5 kg, costs £4.20 and runs at 90 km/h, approx. as fast as a horse.",
        "He muttered something about Gen. Grant vs. Gen. Lee and left.",
        "No.",
        "In 1990.",
        "The well-known mother-in-law of the so-called vice-president lives in Winston-Salem.",
        "When the bell had rung and the children had run down to the harbour, where the boats lay "
        "in the mud and the gulls "
        "stood on one leg, waiting for the tide, the old man took off his hat, wiped his forehead "
        "with a blue handkerchief, "
        "looked at the sky, which was as grey as slate, and said that there would be snow before the morning came.",
    ],
    "es": [
        "El Sr. Pérez y la Sra. Ruiz llegaron a las 5 p. m. del 24 de diciembre de 2025.",
        "¿Quién llama?", "¡Nadie!",
        "«¿Vienes conmigo?», preguntó el Dr. Gil.",
        "—No lo sé —respondió ella—, pregúntale a tu padre.",
        "Ud. sabe que la Cía. Minera pagó 1 234 567 euros, p. ej. por el terreno de la Av. Bolívar núm. 5.",
        "Véase la pág. 12, el art. 3 y la fig. 4, cf. el cap. 2 del libro.",
        "¡Cuidado! gritó el guardia.",
        "Luis XIV murió en 1715, según D. Ramón J. Sender y otros.",
        "Llame al 915 55 01 42 o visite www.ejemplo.es para saber más.",
        "Bueno... ya veremos qué dice la Srta. Ortiz.",
        "En EE. UU. cuesta 3,5 millones de dólares.",
        "Sí.",
        "(Nadie cerró la puerta.)",
        "Cuando sonó la campana y los niños bajaron corriendo al puerto, donde las barcas "
        "descansaban en el barro y las "
        "gaviotas, sobre una pata, esperaban la marea, el viejo se quitó el sombrero, se secó la "
        "frente con un pañuelo azul, "
        "miró el cielo, gris como la pizarra, y dijo que antes de la mañana caería la primera nieve del año.",
    ],
    "fr": [
        "M. Dupont et Mme Roy sont arrivés le 1er mai à 8 h 30.",
        "« Bonjour ! » dit-il en entrant.",
        "Qui est là ?", "Personne !",
        "Le livre coûte 1 234 567 € ; c'est trop, p. ex. pour Mlle Petit.",
        "Voir la p. 12, l'art. 5 et la fig. 3, cf. le chap. 2.",
        "J.-P. Martin et A. Legrand ont écrit à Mgr. Ligny.",
        "Louis XIV est mort en 1715, après 72 ans de règne.",
        "Il a dit : « Je viendrai demain. »",
        "Eh bien... on verra ce qu'en pense le Dr. Morel.",
        "Appelez le 01 55 55 01 42 ou allez sur www.exemple.fr avant jeudi.",
        "Oui.",
        "(Personne n'avait fermé la porte.)",
        "Son arrière-grand-mère habitait Saint-Étienne, au-dessus d'un rez-de-chaussée vide.",
        "Quand la cloche eut sonné et que les enfants eurent couru jusqu'au port, où les barques "
        "dormaient dans la vase et "
        "où les mouettes, sur une patte, attendaient la marée, le vieux ôta son chapeau, s'essuya "
        "le front avec un mouchoir "
        "bleu, regarda le ciel, gris comme l'ardoise, et dit qu'il neigerait avant que le matin ne se lève.",
    ],
    "zh": [
        "他说：“你好，很高兴见到你。”",
        "「好吧。」", "她低声回答。",
        "今天是2025年9月28日，星期天，气温23.5度。",
        "真的吗？！",
        "太好了……", "我们走吧！",
        "请看第3章第12页，网址是www.example.com。",
        "这部《红楼梦》他读了3遍，每一遍都有新的感受。",
        "电话是010-55550142，请在下午5点前打来。",
        "他（我的老师）住在北京路12号。",
        "不。",
        "钟声响了以后，孩子们一齐跑到港口去，小船都停在泥里，海鸥用一条腿站着，等候潮水，老人摘下帽子，用蓝手帕擦了擦额头，抬头望着"
        "像石板一样灰的天空，慢慢地说，明天早晨以前一定会下雪，而且会下得很大，连山上的小路也看不见了。",
    ],
}  # fmt: skip


@pytest.mark.parametrize("width", [30, 38, 45, 60, 72, 80])
@pytest.mark.parametrize("language", sorted(TRICKY))
def test_every_part_of_wrapped_prose_ends_with_a_sentence_or_a_clause_of_one_that_is_too_long(
    language: str, width: int, figure: Callable[[str, str], None]
) -> None:
    paragraphs = _prose(language, seed=width)
    text = "\n\n".join(_wrapped(paragraph, width, language) for paragraph in paragraphs)
    started = time.process_time()
    chunks = chunk(text, "semantic", language, CHUNK_WORDS)
    seconds = time.process_time() - started

    sentence_ends, clause_ends, position = set(), set(), 0
    for sentence in (sentence for paragraph in paragraphs for sentence in paragraph):
        long = len(_bare(sentence)) * 2 / 3 if language == "zh" else len(sentence.split())
        for character in _bare(sentence):
            position += 1
            if character in ",，" and long > CHUNK_WORDS:
                clause_ends.add(position)
        sentence_ends.add(position)
    position, wrong, clauses = 0, [], 0
    for piece in chunks:
        position += len(_bare(piece.text))
        clauses += position in clause_ends
        if position not in sentence_ends | clause_ends:
            wrong.append(piece.text)
    figure(
        f"wrapped prose in {language} at {width} columns",
        f"{len(chunks)} parts, {len(wrong)} end elsewhere, {clauses} with a clause, {seconds:.2f} s",
    )
    assert not wrong
    assert clauses
    assert _bare("".join(piece.text for piece in chunks)) == _bare(text)
    assert seconds < 4


def _bare(text: str) -> str:
    return "".join(text.split())


def _prose(language: str, seed: int) -> list[list[str]]:
    """Paragraphs of sentences, so many words of them, in an order of their own for each seed."""
    name = "en" if language == "en" else language if language == "zh" else f"{language}_long"
    lines = [line for line in (SENTENCES / f"{name}.txt").read_text().splitlines() if line[-1] in ".!?。！？"]
    chance = random.Random(seed)
    paragraphs: list[list[str]] = []
    words = 0
    while words < WORDS:
        paragraph = chance.sample(lines, chance.randint(2, 9)) + chance.sample(TRICKY[language], 3)
        chance.shuffle(paragraph)
        paragraphs.append(paragraph)
        words += sum(len(sentence) if language == "zh" else len(sentence.split()) for sentence in paragraph)
    return paragraphs


def _wrapped(sentences: list[str], width: int, language: str) -> str:
    if language == "zh":
        lines = [""]
        for piece in re.findall(r"[!-~]+|.", "".join(sentences)):  # a foreign word or a number stays whole
            if len(lines[-1] + piece) > width // 2:
                lines.append("")
            lines[-1] += piece
        return "\n".join(lines)
    return textwrap.fill(" ".join(sentences), width)
