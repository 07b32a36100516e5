"""Which language a text is in: given, detected with confidence, or English for want of evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequestError
from languages import LANGUAGES, resolve

HELD_OUT = Path(__file__).resolve().parents[2] / "demo/checkpoint/held_out.json"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Dinner is at two in the evening.", "en"),
        ("I see seven green tables in Paris.", "en"),
        ("Dr. Smith lives on Main St.", "en"),
        ("¿Dónde está la estación de tren más cercana?", "es"),
        ("Mañana vamos a la playa con los niños.", "es"),
        ("Le train part à huit heures du matin.", "fr"),
        ("Il fait très beau aujourd'hui, n'est-ce pas ?", "fr"),
        ("你好", "zh"),
        ("今天天气很好，我们用iPhone拍照吧。", "zh"),
        ("Hello.", "en"),
        ("Taxi!", "en"),
        ("42", "en"),
        ("", "en"),
        ("<SE>[Laughter]</SE>", "en"),
    ],
)
def test_a_text_s_language_is_found(text: str, code: str) -> None:
    assert resolve(None, text) == LANGUAGES[code]
    assert resolve("", text) == resolve(None, text), "and again the same"


SHORT_SPANISH = [
    "El hotel está cerca de la playa", "El tren sale a las ocho de la mañana", "Hola, ¿qué tal?", "Buenos días.",
    "Muchas gracias.", "Estoy cansado.", "Tengo hambre.", "Me llamo Ana.", "Yo soy Ana.", "No hablo español.",
    "Dos cafés, por favor.", "Vamos a la playa.", "La casa es grande.", "Las llaves están aquí.", "Te quiero.",
    "Hasta luego.", "Me gusta el queso.", "¡Hola!", "Gracias por todo.", "No entiendo nada.", "Ella canta muy bien.",
    "Hoy hace frío.", "Buenas noches.", "Tengo 21 años.", "Cuesta 12,50 €, gracias.", "Lo siento.", "Es una casa.",
    "Vivo en Madrid con mis padres y mi hermano.", "Mañana voy a Sevilla.", "¿Dónde está el baño?",
    "El perro duerme.", "No lo sé.", "Llueve mucho.", "Dame el libro.", "Cierra la ventana.", "Es muy tarde.",
]  # fmt: skip
SHORT_FRENCH = [
    "Une montre en or, c'est cher.", "Le restaurant est fermé", "Je suis fatigué.", "Il fait froid.",
    "Où est la gare ?", "Merci beaucoup.", "Bonjour à tous.", "Bonne nuit.", "Nous avons gagné.", "C'est bon.",
    "Je m'appelle Alice.", "Un café, s'il vous plaît.", "Il ne dort pas.", "Elle est belle.", "La porte est ouverte.",
    "J'ai 21 ans.", "Ça va ?", "Tu es où ?", "Le train part à huit heures.", "Qu'est-ce que c'est ?",
    "Vous parlez trop vite.", "Je ne sais pas.", "Il y a 3 chats.", "À demain, Paul.", "D'accord, merci à tous.",
    "On y va maintenant.",
    "Le chien dort.", "Il pleut.", "J'habite à Lyon.", "Tu as raison.", "Je vais au marché.",
]  # fmt: skip
# Names, titles, and what English has borrowed.
STILL_ENGLISH = [
    "The crème de la crème of Los Angeles", "Chris Hoy", "Les Paul est. 1952", "Fort Qu'Appelle", "J'ouvert carnival",
    "N'Awlins jazz", "Dinner at Chez Panisse", "Déjà vu in Notre Dame de Paris", "A resumé and a café au lait",
    "Señor Siempre", "We love La Vie en Rose by Édith Piaf", "El Niño brings rain to San José", "Rosé, pâté, soufflé",
    "Café.", "Résumé", "El Paso", "Voilà!", "Los Angeles", "Las Vegas", "San Juan de los Lagos", "Rio de la Plata",
    "Notre Dame de Paris", "Tour de France", "Cirque du Soleil", "Crème de la crème", "Au revoir", "Joie de vivre",
    "Coup d'état", "Oscar de la Hoya", "Vuelta a España", "Que sera, sera", "A certain je ne sais quoi",
    "Ménage à trois", "Mise en place", "Hasta la vista, baby", "Mi casa es su casa", "Viva la vida", "Adios amigos",
    "Déjà vu", "Fait accompli", "Raison d'être", "C'est la vie", "Merci, Bob.", "Gracias, Bob.", "Bonjour!", "Hola!",
    "Hola Foods launches", "Les Misérables", "La La Land", "El Niño", "Jalapeño", "Piñata party", "Soy sauce",
    "Yo, Bob!", "Est. 1999", "5 PM EST", "Ella Fitzgerald", "Il Divo", "Elle magazine", "Bon appétit!",
    "Chez Panisse", "Buenos Aires", "Rendez-vous at nine", "C'mon, man!", "No comment.", "Pour me a drink",
    "Son of a gun", "Main Street", "Pain au chocolat", "Quesadilla con carne", "Chili con carne", "Tu Youyou",
    "Taxi!", "Lucy", "No.", "On fire", "Me too", "Llama farm", "Hay bales", "Comment on this", "Dr. José García",
    "María lives here", "François Hollande", "Beyoncé", "Jean-Luc Picard", "De La Soul", "La Croix", "Nada",
    "Mucho macho", "Señor Frog", "Tres leches cake", "Pas de deux", "Grand Prix", "Vive la différence", "Moi?",
    "Sur la table", "Don Quixote", "Del Monte", "Cinco de Mayo", "Feliz Navidad", "Crêpe suzette", "Haute couture",
    "En route", "Et cetera", "Sans serif", "Par excellence", "Tout le monde", "Oui!", "Si.", "Il Postino",
    "Muy bueno tacos rock", "Loco", "Vamos!", "Allons-y, Doctor.", "J'adore perfume", "Quo vadis", "A la carte",
    "Vis-a-vis", "San Francisco de Asís", "Santa Fe de Bogotá", "Ponce de León", "Vasco da Gama", "Leonardo DiCaprio",
    "Louis Vuitton", "Yves Saint Laurent", "L'Oréal Paris", "D'Angelo", "Château Margaux", "Côte d'Ivoire",
    "São Paulo",
    "Bon voyage.", "Sorry, sir.", "Rain again.", "Amigo!", "Fiesta time", "Siesta", "Open the door.", "Paella recipe",
    "Adios, Carlos.", "Cordon bleu", "Garçon, coffee!", "À la mode", "Papier-mâché", "Doppelgänger", "Façade",
    "Naïve", "Zoë and Chloë", "Santa Claus", "Puerto Rico", "Costa Rica", "Montréal", "Le Monde", "El Salvador",
    "Los Lobos", "La Paz", "Baton Rouge", "Des Moines", "Detroit", "Terre Haute", "Juan Carlos Ferrero", "Mon Dieu!",
    "Sacré bleu!", "Zut alors", "Que pasa?", "No problemo", "Ciao, bella", "Aloha", "Pinot noir", "Foie gras",
    "Hors d'oeuvre", "Coq au vin", "Eau de toilette", "Très chic", "Moulin Rouge", "Mardi Gras", "San Antonio, Texas",
    "Ave Maria", "Salsa verde", "Carpe diem", "Noli me tangere", "Habeas corpus", "Toujours pur", "Jamais vu",
    "Dos Equis", "Ay caramba", "Vaya con Dios", "Madame Tussauds", "Monsieur Hulot", "Votre Santé",
    "C'est magnifique", "Qué será", "Closed on Monday.", "Table for two", "Nice café, nice crêpes.", "Lima, Peru",
    "San José airport", "Pepe Le Pew", "Zorro", "Don Juan", "Che Guevara", "Marie Curie", "Les Mis",
    "Pierre and Marie", "El Greco", "Goya, Picasso, Dalí", "Versailles", "The fiancée left.", "My fiancé, René",
    "Maître d'", "Entrée: filet mignon", "Vin de pays", "Nom de plume", "Nouveau riche", "Enfant terrible",
    "Femme fatale", "Film noir", "Art nouveau", "Trompe l'oeil", "Bête noire", "Carte blanche", "Esprit de corps",
    "Laissez-faire", "Savoir faire", "Sangria", "Tortilla soup", "Buenas Noches Cafe", "Día de los Muertos",
    "Nuevo Laredo", "Tierra del Fuego", "Santo Domingo", "Playa del Carmen", "Cabo San Lucas", "Real Madrid",
    "Barça won 3-2", "José Mourinho out", "Vamos Rafa!", "Casa Blanca", "La Niña", "Macho man", "Burrito",
    "Guacamole, please",
]  # fmt: skip
SHORT_AND_NEITHER = [
    "Como está você", "Das ist gut", "Es regnet.", "Grazie mille", "Guten Tag", "Non è vero", "Obrigado",
]  # fmt: skip


@pytest.mark.parametrize("text", SHORT_SPANISH)
def test_a_short_spanish_sentence_is_spanish(text: str) -> None:
    assert resolve(None, text).code == "es"


@pytest.mark.parametrize("text", SHORT_FRENCH)
def test_a_short_french_sentence_is_french(text: str) -> None:
    assert resolve(None, text).code == "fr"


@pytest.mark.parametrize("text", [*STILL_ENGLISH, *SHORT_AND_NEITHER])
def test_a_short_text_that_may_be_english_is_english(text: str) -> None:
    assert resolve(None, text).code == "en"


def test_no_piece_of_an_english_sentence_is_taken_for_spanish_or_french() -> None:
    for example in json.loads(HELD_OUT.read_text()):
        words = example["written"].split()
        for first in range(len(words)):
            for last in range(first + 1, len(words) + 1):
                piece = " ".join(words[first:last])
                assert resolve(None, piece).code not in ("es", "fr"), piece


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["We had {} at nine.", "This is {}, I think.", "Where is the {}?", "{} is what they call it."]),
    st.sampled_from([*STILL_ENGLISH, *SHORT_SPANISH, *SHORT_FRENCH]),
)
def test_an_english_sentence_around_foreign_words_is_neither(sentence: str, words: str) -> None:
    if len(words) < 40:
        assert resolve(None, sentence.format(words)).code not in ("es", "fr")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Der Zug nach Berlin fährt um acht Uhr ab.", "German"),
        ("Il gatto nero dorme sulla sedia della cucina.", "Italian"),
        ("Привет, как дела?", "Russian"),
        ("こんにちは、元気ですか。", "Japanese"),
        ("안녕하세요", "Korean"),
    ],
)
def test_another_language_is_marked_as_unknown_quality(text: str, name: str) -> None:
    language = resolve(None, text)
    assert (language.name, language.quality) == (name, "unknown")


def test_a_language_given_wins_over_the_text() -> None:
    assert resolve("fr", "Dinner is at two in the evening.").code == "fr"


def test_a_language_that_is_not_in_the_table_is_refused_with_the_ones_that_are() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"'de'.*en \(English\), zh \(Chinese\), es \(Spanish\), fr \(French\)"
    ):
        resolve("de", "Guten Tag")
