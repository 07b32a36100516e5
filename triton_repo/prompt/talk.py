"""How talk differs from other text: it says I and you, greets, asks and answers."""

from __future__ import annotations

import re

_FEW = 400  # characters of a turn that are looked at
_I_AND_YOU = (
    "i i'm i'd i'll i've me my mine we we're we'll we've our us you you're you'll you've your yours let's "
    "yo tú te ti mi mí nos nosotros nosotras usted ustedes vosotros vos conmigo contigo soy estoy tengo voy eres estás tienes "
    "quieres puedes sabes somos vamos oye "
    "je j'ai j'en j'y tu toi moi mon ma mes nous vous ton tes votre vos vas-tu es-tu "
    "ich mich mir du dich dir wir uns ihr euch mein dein meine deine io mio tuo noi voi eu você vocês meu minha jag dig mig ik jij "
    "я ты мы вы меня тебя мне тебе нас вас нам вам мой твой εγώ εσύ أنا أنت نحن أنتم मैं तुम आप हम मुझे मेरा मेरी तुम्हें "
    "나 너 저 내 네 우리 제가 내가 네가 ja ty cię ci mnie".split()
)
_OPENERS = (
    "hello hi hey thanks thank yes no yeah yep nope okay ok please sorry sure well oh ah ooh goodbye bye welcome good-morning wow hmm "
    "right exactly maybe perhaps never absolutely indeed certainly alas aye nay because nothing nobody obviously come look listen wait go "
    "sí si no hola gracias buenos buenas adiós vale claro vamos bueno pues ay porque quizás nunca exacto mira "
    "oui non bonjour bonsoir salut merci bien allons eh voilà parce jamais peut-être tiens viens d'accord hélas ô "
    "ja nein hallo danke guten bitte doch sì ciao grazie sim não olá obrigado obrigada "
    "да нет привет здравствуйте здравствуй спасибо хорошо конечно ναι όχι γεια نعم لا مرحبا हाँ नहीं नमस्ते 네 예 아니 아니요 아니오 안녕 응".split()
)


def _words(words: list[str]) -> str:
    return "|".join(sorted((re.escape(word).replace("'", "['’]") for word in dict.fromkeys(words)), key=len, reverse=True))


_PERSONAL = re.compile(
    rf"(?<![\w'’-])(?:{_words(_I_AND_YOU)})(?![\w'-])|(?<!\w)[jJ]['’](?=\w)|[我你您咱俺私僕俺君]|あなた|はい|いいえ", re.IGNORECASE
)
_OPENING = re.compile(rf"\W*(?:(?:{_words(_OPENERS)})(?!\w)|[好是对不嗯哦啊没行谢哎喂当因还早]|good (?:morning|evening|night|day))", re.IGNORECASE)
_ENDING = re.compile(r"[吗呢吧啊呀嘛]\W*$|[かねよ]。?\W*$")
_LAST = re.compile(r"[.!?…。！？؟।;—–-][\s\"'”’»›」』)\]*_]*$")
_QUESTION = re.compile(r"[?？؟]|[吗呢]。?$|か。?$")


def is_talk(words: str) -> bool:
    """Whether somebody seems to say that to somebody: it says I or you, opens like an answer, or ends like talk."""
    said = words[:_FEW]
    found = _PERSONAL.search(said)
    return bool((found and found[0] != "US") or _OPENING.match(said) or _ENDING.search(said.rstrip()))


def asks(words: str) -> bool:
    return bool(_QUESTION.search(words[-_FEW:].rstrip()))


def exclaims(words: str) -> bool:
    return bool(re.search("[!！]", words[:_FEW]))


def is_sentence(words: str) -> bool:
    """Whether it ends as sentences do."""
    return bool(_LAST.search(words[-_FEW:]))
