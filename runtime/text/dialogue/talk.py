"""How talk differs from other text: it says I and you, greets, asks and answers."""

from __future__ import annotations

import re

from runtime.text.readings.word_sets import words

_FEW = 400  # characters of a turn that are looked at
_I_AND_YOU = words(
    "i i'm i'd i'll i've me my mine we we're we'll we've our us you you're you'll you've your yours let's yo "
    "tú te ti mi mí nos nosotros nosotras usted ustedes vosotros vos conmigo contigo soy estoy tengo voy "
    "eres estás tienes quieres puedes sabes somos vamos oye je j'ai j'en j'y tu toi moi mon ma mes nous vous "
    "ton tes votre vas-tu es-tu ich mich mir du dich dir wir uns ihr euch mein dein meine deine io mio tuo "
    "noi voi eu você vocês meu minha jag dig mig ik jij я ты мы вы меня тебя мне тебе нас вас нам вам мой "
    "твой εγώ εσύ أنا أنت نحن أنتم मैं तुम आप हम मुझे मेरा मेरी तुम्हें 나 너 저 내 네 우리 제가 내가 네가 "
    "ja ty cię ci mnie"
)
_OPENERS = words(
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


_PERSONAL = re.compile(
    rf"(?<![\w'’-])(?:{_one_of(_I_AND_YOU)})(?![\w'-])|(?<!\w)[jJ]['’](?=\w)|[我你您咱俺私僕俺君]|あなた|はい|いいえ",
    re.IGNORECASE,
)
_OPENING = re.compile(
    rf"\W*(?:(?:{_one_of(_OPENERS)})(?!\w)|[好是对不嗯哦啊没行谢哎喂当因还早]|good (?:morning|evening|night|day))",
    re.IGNORECASE,
)
_ENDING = re.compile(r"[吗呢吧啊呀嘛]\W*$|[かねよ]。?\W*$")
_DESCRIPTION = re.compile(r"\W*(?:an?|une?|una|uno|eine?|um|uma|один|одна)\s", re.IGNORECASE)
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
    """Whether it ends as sentences do."""
    return bool(_LAST.search(turn[-_FEW:]))


def describes(turn: str) -> bool:
    """Whether it begins as one tells who somebody is: "A fisherman from Galilee."."""
    return bool(_DESCRIPTION.match(turn))
