"""What English says in Spanish, French or Latin, and what so tells nothing about the language of a text that has it."""

from __future__ import annotations

import re

# Patterns: one letter with and without its accent, and what is left out at times.
_PHRASES = r"""
adi[oó]s; aide-de-camp; allons-y; amigos?; apr[èe]s-ski; art d[ée]co; art nouveau; au courant; au fait; au gratin; au
jus; au lait; au naturel; au pair; au revoir; avant-garde; ay,? caramba; a la carte; à la (?:carte|mode); b[êe]te
noire; belle [ée]poque; bon app[ée]tit; bon mot; bon vivant; bon voyage; bonjour; bonsoir; bravo; burritos?; c'est
(?:la (?:vie|guerre)|magnifique); caf[ée]s?; carpe diem; carte blanche; cause c[ée]l[èe]bre; chaise longue; cherchez
la femme; ciao,? bella; cinco de mayo; comme ci,? comme [çc]a; comme il faut; con carne; coq au vin; cordon bleu;
corps de ballet; coup d'[ée]tat; coup de (?:gr[âa]ce|foudre|main|th[ée][âa]tre); cr[êe]pes?; cr[èe]me br[ûu]l[ée]e;
cr[èe]me de la cr[èe]me; cr[èe]me fra[îi]che; cul-de-sac; de facto; de jure; de rigueur; de trop; d[ée]j[àa] vu;
double entendre; eau de (?:cologne|parfum|toilette|vie); el ni[ñn]o; en bloc; en garde; en masse; en passant; en plein
air; en route; en suite; encore; enfant terrible; entr[ée]es?; entre nous; esprit de corps; est\.(?= [0-9]); et al; et
cetera; fa[çc]ade; fait accompli; faux pas; feliz navidad; femme fatale; fianc[ée]e?; fiesta; filet mignon; film noir;
fleur de (?:lis|lys|sel); foie gras; folie [àa] deux; force majeure; gar[çc]on; gracias; grand prix; habeas corpus;
hi(?=[,.!]| (?-i:[A-Z]));
hasta la vista; haute (?:couture|cuisine); hola; hors d'(?:oe|œ)uvres?; huevos rancheros; id[ée]e fixe; j'accuse;
j'adore; j'ouvert; jalape[ñn]os?; jamais vu; je ne sais quoi; joie de vivre; la ni[ñn]a; laissez[ -]faire; le mot
juste; loco; macho; ma[îi]tre; ma[îi]tre d'(?:h[ôo]tel)?; mano a mano; mardi gras; m[ée]nage [àa] trois; merci; mi
casa es su casa; mise en (?:place|sc[èe]ne); moi; mon dieu; muchas gracias,? amigos?; mucho; muy bueno; nada;
na[ïi]ve; no problemo; noblesse oblige; nom de (?:guerre|plume); nouveau riche; nouvelle cuisine; objet d'art; ol[ée];
oui; pain au chocolat; papier[- ]m[âa]ch[ée]; par avion; par excellence; pas de (?:chat|deux|trois); pi[èe]ce de
r[ée]sistance; pied-[àa]-terre; pi[ñn]atas?; pinot (?:gris|noir); plus [çc]a change; pr[êe]t-[àa]-porter; qu[eé] pasa;
qu[eé] ser[aá](?:,? ser[aá])?; quesadillas?; quid pro quo; raison d'[êe]tre; rendez-vous; r[ée]pondez s'il vous
pla[îi]t; r[ée]sum[ée]; roman [àa] clef; ros[ée]; sacr[ée] bleu; salsa; sang-froid; sans serif; savoir[- ]faire;
se[ñn]or(?:a|ita)?; s[ií]; siesta; soup du jour; souffl[ée]s?; sur la table; t[êe]te-[àa]-t[êe]te; tortilla; toujours
pur; tour de force; tout court; tout de suite; tout le monde; tres leches; tr[èe]s chic; trompe[- ]l'(?:oe|œ)il;
v[áa]monos; vamos; vaya con dios; vin de pays; vis-[àa]-vis; viva la (?:vida|revoluci[óo]n); vive la diff[ée]rence;
voil[àa]; zut alors
"""
BORROWED = re.compile(
    rf"(?<![\w'-])(?:{'|'.join(' '.join(one.split()) for one in _PHRASES.split(';'))})(?![\w'-])", re.IGNORECASE
)
