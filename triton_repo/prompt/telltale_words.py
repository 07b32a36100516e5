"""The language of a few words, from what only Spanish or only French sentences are made of.

A statistical identifier takes "El Paso" for Spanish and "voilà" for French. So names, titles and borrowed words tell
nothing here: it takes a word that stands in a sentence of the language and hardly in a name, or a greeting and another
word of the language; enough of the rest must be known, and no word may be English or another language's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class _Words:
    """`sure` words and `phrases` tell a sentence of the language; `greetings` with one word more; `linking` none."""

    sure: frozenset[str]
    greetings: frozenset[str]
    linking: frozenset[str]
    phrases: re.Pattern[str]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SPANISH = _Words(
    _set(
        "abre abren ahora allí aprende aquí ayer años buenas buenos busco cierra comemos compra compré comí creo "
        "cuesta cuestan cumpleaños cuándo cuánto cuántos cómo dame después dije dijo dime duele duerme duermo "
        "días dónde ellas ellos empieza encanta entiende entiendo eres escribe escribo escucha español española "
        "espera espero estaba estaban estamos esto estoy está están estás fueron gusta gustan habla hablas hablo "
        "había hace hacemos hacen hemos huele juega leer leo levanta llamas llamo llega llegó llueve luego "
        "mientras mira mucha muchas muchos murió muy nació necesito noches nosotras nosotros nunca olvides paga "
        "pasó pero pienso porque puede puedes puedo queremos quiere quieren quieres quiero quién sabe sabemos "
        "saben sabes sale salimos siempre siento somos suena también tardes tenemos tengo tenía tiene tienen "
        "tienes trabaja usted ustedes vemos viene vienen viven voy vuelve vuelvo"
    ),
    _set("adiós gracias hola vamos"),
    _set(
        "a agua al amiga amigo año bien calle comida con cosas cuando de del desde donde dos el ella en esa ese "
        "esta este gato hasta hermana hermano hija hijo hombre hora horas hoy jueves la las le les libro lo los "
        "lunes madre martes mañana me mejor mes mi minutos mis miércoles mujer mundo más nada niña niñas niño "
        "niños no noche nos otra otro padre para perdón perro pescado poco por puerta que qué razón se semana "
        "señor señora si sin son soy su sus sábado sé sí tan tarde te tiempo tienda todas todo todos trabajo tren "
        "tres tu un una unas unos ven viernes y ya yo él"
    ),
    re.compile(
        r"¿|¡|\b(?:yo soy|no (?:lo|la|sé|me)|lo sé|son las|eso es|te amo|por favor|lo siento|no es|es una?)\b"
        r"|\b(?:el|la|los|las) \w+ (?:es|son)\b"
    ),
)
_FRENCH = _Words(
    _set(
        "allez-vous allons attend attendez attends aujourd'hui avait avez avez-vous avons beaucoup boit buvez "
        "c'est c'était cette chantent cherche comprend comprends connais crois dans demain dites donne-moi "
        "donnez-moi dormir dors dort elles entends est-ce faisons fatigué faut fermé font habite habitez heures "
        "ils je lisez mange mangent mangeons manger mangez mangé n'est nettoie nous ouvre ouvrez où parce parle "
        "parlez partons pense peut peux pleut pourquoi pouvez prend prends prenez qu'est-ce quand regarde "
        "regardez s'il sais sait savez maintenant sommes sont suis t'aime t'attends travaille travaillent veulent "
        "veut veux viennent viens vient voient vois voit voudrais vous ça étais était êtes êtes-vous"
    ),
    _set("bonjour bonsoir merci salut"),
    _set(
        "a ai anniversaire ans au aux avec bien bonne ce chat chez chien de dehors demain des du eau elle en "
        "enfants est et fait femme fille garçon heure homme ici il jamais jour l'eau l'école la le les livre lui "
        "là ma madame mais mes moi mon monsieur mère ne notre nuit on ou par pas plaît porte pour père "
        "que qui quoi raison rien sa semaine ses son sous sur ta temps tes toi ton toujours tous tout trois très "
        "tu un une va votre y à être"
    ),
    re.compile(
        r"\bj'[aehiyéê]\w*|\bqu'(?:ils?|elles?|on|une?|est|en|à)\b|\bn'(?:ai|as?|avons|avez|ont|est|était|y|en|aime)\b"
        r"|\bm'(?:a|as|appelle|aimes?)\b|\bne \w+ pas\b|\b(?:il|elle) (?:est|fait|y a)\b|\btu (?:es|as)\b"
        r"|\bbonne nuit\b|\bon y va\b"
        r"|\b(?:le|la|les) \w+ (?:est|sont)\b(?!\.)"
    ),
)
_TONGUES = {"es": _SPANISH, "fr": _FRENCH}
_ENGLISH = _set(  # and in no Romance language
    "about after again and are at because been before big bring but by call called can can't city "
    "could day did does don't down drink eat find first for from get give go goes going good got great had has "
    "have he hello her here hey hi him his how i'd i'll i'm i've if into is isn't it it's its just "
    "know let let's like live look love made make many meet more mr mrs much my need never new night "
    "not now of old our out over play please read right said saw say says see "
    "she should sing some street take taste tell than thank thanks that the their them then there these "
    "they this three time to today tomorrow tonight too try two up very visit want was watch way we well went "
    "were what when where which who why will with word work would year years yes you your"
)
_ELSEWHERE = _set(  # Portuguese, Italian, Catalan, German, Dutch
    "amb che com da das der della di die een eine em estic het i ich ist muito nicht não och obrigado perché però "
    "più questo sono uma und você wij zijn é és è"
)
_BORROWED = re.compile(
    r"\b(?:je ne sais quoi|c'est magnifique|c'est la vie|c'est la guerre|plus ça change|comme ci,? comme ça"
    r"|mi casa es su casa|r[ée]pondez s'il vous pla[îi]t|j'accuse|j'adore|muchas gracias amigos?|buenos aires"
    r"|vis-[àa]-vis|d[ée]j[àa] vu|cr[èe]me de la cr[èe]me|joie de vivre|notre dame)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_NAME = re.compile(r"(?<=[\w,] )[A-ZÀ-Þ]\w*")  # in capitals, and not because a sentence begins
_LEAST_KNOWN = 0.4  # of the words


def without_borrowed_phrases(text: str) -> str:
    """The text without foreign sentences that English has taken over, which tell nothing about its language."""
    return _BORROWED.sub(" ", text.replace("’", "'"))


def english(text: str) -> bool:
    """Whether a word of the text is only English."""
    return any(word in _ENGLISH or word.endswith(("'s", "ing")) for word in _WORD.findall(text.lower()))


def spanish_or_french(text: str) -> str | None:
    """ "es" or "fr" where a short text is surely that; None where it may be anything else."""
    words = _WORD.findall(text.lower())
    if not words or english(text) or not _ELSEWHERE.isdisjoint(words):
        return None
    told = [code for code, tongue in _TONGUES.items() if _tells(tongue, text, words)]
    return told[0] if len(told) == 1 else None


def _tells(tongue: _Words, text: str, words: list[str]) -> bool:
    phrases = [phrase[0] for phrase in tongue.phrases.finditer(text.lower())]
    if "¿" in phrases or "¡" in phrases:
        return True
    spoken_of = {name.lower() for name in _NAME.findall(text)}
    sure = tongue.sure - spoken_of
    known = sure | tongue.greetings | tongue.linking | {word for phrase in phrases for word in _WORD.findall(phrase)}
    count = sum(word in known for word in words)
    greeted = count > 1 and not tongue.greetings.isdisjoint(words)
    return bool(phrases or greeted or not sure.isdisjoint(words)) and count >= _LEAST_KNOWN * len(words)
