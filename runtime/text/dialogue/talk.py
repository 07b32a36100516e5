"""How talk differs from other text: it says I and you, greets, asks and answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.text.readings.word_sets import words

_FEW = 400  # characters of a turn to examine
_I = words(
    "i i'm i'd i'll i've me my mine mí mi yo conmigo soy estoy tengo voy je j'ai j'en j'y moi mon ma mes ich mich mir "
    "mein meine io mio eu meu minha jag mig ik я меня мне мой εγώ أنا मैं मुझे मेरा मेरी 나 저 내 제가 내가 ja mnie"
)
_WE = words(
    "we we're we'll we've our us let's nosotros nosotras nos somos vamos nous wir uns noi мы нас нам نحن हम 우리"
)
_YOU = words(
    "you you're you'll you've your yours tú te ti usted ustedes vosotros vos eres estás tienes quieres puedes sabes "
    "oye tu toi vous ton tes votre vas-tu es-tu du dich dir ihr euch dein deine tuo voi você vocês dig jij ты вы тебя "
    "тебе  вас вам твой εσύ أنت أنتم तुम आप तुम्हें 너 네 네가 ty cię ci"
)
OPENERS = words(
    "hello hi hey thanks thank yes no yeah yep nope okay ok please sorry sure well oh ah ooh goodbye bye "
    "welcome good-morning wow hmm right exactly maybe perhaps never absolutely indeed certainly alas aye nay "
    "because nothing nobody obviously come look listen wait go sí si hola gracias buenos buenas adiós vale "
    "claro vamos bueno pues ay porque quizás nunca exacto mira oui non bonjour bonsoir salut merci bien "
    "allons eh voilà parce jamais peut-être tiens viens d'accord hélas ô ja nein hallo danke guten bitte "
    "doch sì ciao grazie sim não olá obrigado obrigada да нет привет здравствуйте здравствуй спасибо хорошо "
    "конечно ναι όχι γεια نعم لا مرحبا हाँ नहीं नमस्ते 네 예 아니 아니요 아니오 안녕 응"
)


def _one_of(listed: frozenset[str]) -> str:
    return "|".join(sorted((re.escape(word).replace("'", "['’]") for word in listed), key=len, reverse=True))


def _says(listed: frozenset[str], more: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'’-])(?!i\.(?:\s|$))(?:{_one_of(listed)})(?![\w'-])|{more}", re.IGNORECASE)


_OF_ONESELF = _says(_I, r"(?<!\w)j['’](?=\w)|[我俺私僕](?!们)")
_OF_THE_OTHER = _says(_YOU, "[你您君]|あなた|(?<=-)(?:tu|vous)(?!\w)")
_PERSONAL = _says(_I | _WE | _YOU, r"(?<!\w)j['’](?=\w)|[我你您咱俺私僕俺君]|あなた|はい|いいえ")
_OPENING = re.compile(
    rf"\W*(?:(?:{_one_of(OPENERS)})(?!\w)|好(?![吃看听用玩喝])|[是对不嗯哦啊没行谢哎喂当因还早]"
    r"|good (?:morning|evening|night|day)"
    r"|(?:大家|各位|早上|上午|中午|下午|晚上)好|欢迎(?:收听|收看|来到|回来|各位|大家))",
    re.IGNORECASE,
)
_ENDING = re.compile(r"[吗呢吧啊呀嘛]\W*$|[かねよ]。?\W*$")
_DESCRIPTION = re.compile(r"\W*(?:an?|une?|una|uno|eine?|um|uma|один|одна)\s", re.IGNORECASE)
_INSTRUCTION = re.compile(r"\W*(?:(?:you|usted|vous|sie|você)(?!\w)|[您你](?!们?好))", re.IGNORECASE)
_LAST = re.compile(r"[.!?…。！？؟।;—–-][\s\"'”’»›」』)\]*_]*$")
_QUESTION = re.compile(r"[?？؟\u037e]|[吗呢]。?$|か。?$|[\u0370-\u03ff];")


def is_talk(turn: str) -> bool:
    """Whether somebody seems to say that to somebody: it says I or you, opens like an answer, or ends like talk."""
    said = turn[:_FEW]
    found = _PERSONAL.search(said)
    return bool((found and found[0] != "US") or _OPENING.match(said) or _ENDING.search(said.rstrip()))


def asks(turn: str) -> bool:
    return bool(_QUESTION.search(turn[-_FEW:].rstrip()))


def exclaims(turn: str) -> bool:
    return bool(re.search("[!！]", turn[:_FEW]))


def is_sentence(turn: str) -> bool:
    """Whether it ends like a sentence."""
    return bool(_LAST.search(turn[-_FEW:]))


def describes(turn: str) -> bool:
    """Whether it begins like a description of a person: "A fisherman from Galilee."."""
    return bool(_DESCRIPTION.match(turn))


def instructs(turn: str) -> bool:
    """Whether it begins like a rule: "You must log in first."."""
    return bool(_INSTRUCTION.match(turn))


def is_interview(questions: Sequence[str], answers: Sequence[str]) -> bool:
    """Whether one asks another about themselves and is told: "Where were you?" "In my room.". FAQ are not so."""

    def said(pattern: re.Pattern[str], turns: Sequence[str]) -> bool:
        return any(pattern.search(turn[:_FEW]) for turn in turns)

    return (
        len(questions) > 1
        and len(answers) > 1
        and all(asks(turn) for turn in questions)
        and (said(_OF_THE_OTHER, questions) and not said(_OF_ONESELF, questions))
        and (said(_OF_ONESELF, answers) and not said(_OF_THE_OTHER, answers))
    )
