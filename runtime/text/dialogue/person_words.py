"""Words that identify a person: first names, words for people, titles.

Latin letters are lower-case and without accents. Names that are also a place, a month or a word ("Paris", "May",
"Hope") are omitted: as labels they are no evidence.
"""

from __future__ import annotations

from runtime.text.readings.word_sets import words

FIRST_NAMES = words(
    # English
    "maya aria kai noa nora enzo zainab aaron abby abigail adam adrian agnes aidan alan albert alex alexander "
    "alexandra alfred alice alison allison amanda amber amelia amy andrea andrew andy angela angie anita ann anna "
    "annabel anne annie anthony archie arthur ashley audrey ava barbara barry beatrice becky ben benjamin benny "
    "bernard beth betty beverly billy bob bobby brad bradley brandon brenda brian bridget bruce caleb callum cameron "
    "carl carla carol caroline carolyn catherine cathy cecilia charles charlie chloe chris christian christina "
    "christine christopher cindy claire clara colin connie connor craig cynthia daisy dan daniel danny daphne darren "
    "dave david dawn dean deborah debbie debra dennis derek diana diane dick donald donna dora doris dorothy doug "
    "douglas duncan dylan eddie edgar edith edward edwin elaine eleanor elena eliza elizabeth ella ellen ellie elliot "
    "elsa emily emma eric erica erin ernest ethan eugene eva eve evelyn felicity fiona fred freddie frederick gabriel "
    "gareth gary gavin gemma geoffrey george gerald gina gladys glenn gordon graham greg gregory gwen hannah harold "
    "harriet harry harvey hazel heather hector heidi helen helena henry herbert holly howard hugh hugo ian ida irene "
    "isaac isabel isabella isla jack jackie jacob jake james jamie jan jane janet janice jasmine jason jasper jean "
    "jeff jeffrey jenna jennifer jenny jeremy jerry jesse jessica jill jim jimmy joan joanna joanne joe joel johanna "
    "john johnny jon jonathan josh joshua joseph josephine joyce judith judy julia julian julie juliet justin karen "
    "kate katherine kathleen kathryn kathy katie keith kelly ken kenneth kevin kim kirsty kyle larry laura lauren "
    "laurence lawrence leah lee leo leon leonard leslie lewis liam lily linda lisa liz lizzie lois lola lorraine "
    "louis louise lucas lucy luke lydia lynn madison maggie malcolm marcus margaret maria marian marie marilyn marion "
    "marjorie martha martin marvin mary matilda matt matthew maureen max maxine meg megan melanie melissa melvin mia "
    "michael michelle mick mike mildred millie miranda miriam moira molly monica morgan muriel nancy naomi natalie "
    "natasha nathan nathaniel ned neil nell nelly nicholas nick nicola nicole nigel noah noel nora norma norman olive "
    "oliver olivia oscar owen pam pamela patricia patrick paul paula pauline peggy penelope penny percy peter phil "
    "philip phillip phoebe phyllis polly rachel ralph ray raymond rebecca reginald rhoda richard rick ricky rita rob "
    "robert robin rodney roger romeo ron ronald rory rosalind rosemary rosie ross roy rudy rufus rupert russell ruth "
    "ryan sally sam samantha samuel sandra sara sarah scott sean sebastian seth shannon sharon shaun sheila shirley "
    "sid sidney silvia simon sophia sophie stacey stan stanley stella stephanie stephen steve steven stewart stuart "
    "susan susie suzanne sylvia tammy tara ted teddy terence teresa terry thelma theo theodore theresa thomas tiffany "
    "tim timothy tina toby todd tom tommy tony tracy trevor tyler ursula valerie vanessa vera vernon veronica vicky "
    "victor vince vincent vivian walter wanda warren wayne wendy wesley wilbur wilfred william willie winifred xavier "
    "yogi linus yvonne zachary zack zara zoe "
    # Spanish and Portuguese
    "adriana agustin alba alberto alejandra alejandro alfonso alfredo alicia alvaro amalia amparo ana andres "
    "angeles antonio antonia araceli armando arturo asuncion aurora beatriz begona benito bernardo blanca "
    "camila carlos carlota carmen carolina catalina cecilio cesar chema conchita cristina cristobal daniela "
    "diego dolores eduardo elisa elvira emilio encarna enrique ernesto esperanza esteban esther eugenia fabian "
    "federico felipe fermin fernando fernanda francisca francisco gabriela gerardo gloria gonzalo graciela "
    "guillermo gustavo ignacio ines inigo isidro ivan jaime javier jesus joaquin jorge jose josefa juan juana "
    "juanjo julio leticia lorena lorenzo lourdes lucia luis luisa lupe magdalena manolo manuel manuela marcela "
    "marcos margarita mariana mariano maribel marina mario marisol marta mateo matias mauricio mercedes miguel "
    "mireia moises nacho natalia nicolas nieves nuria octavio olga pablo paco paloma paola patricio pedro pepa "
    "pepe pilar rafael raquel ramiro ramon raul rebeca ricardo roberto rocio rodrigo rogelio rosa rosario ruben "
    "salvador santiago sergio sofia soledad susana tomas valentina vicente victoria virginia ximena yolanda "
    "joao thiago tiago rui goncalo duarte fatima catarina "
    # French
    "adele adrien agathe alain albane alexandre alexis alphonse amelie anais andre andree antoine apolline "
    "armand arnaud aurelie aurelien baptiste bastien benoit berenice bernadette bertrand brigitte bruno camille "
    "capucine carole cecile celine chantal christelle christophe claude claudine clemence clement clotilde "
    "colette coralie corinne cosette cyril cyrille damien delphine denis denise didier dominique edouard elise "
    "elodie eloise emile emilie emmanuel emmanuelle estelle etienne eugenie fabien fabienne fabrice fanny felix "
    "florian francois francoise franck frederic gaelle gaston genevieve georges gerard germaine gilbert gilles "
    "ginette gisele gregoire guillaume guy helene henri henriette herve honore hortense hubert isabelle "
    "jacqueline jacques jeanne jeremie jerome jocelyne josette jules julien juliette karine laetitia laurent "
    "lea lucie lucien lucienne ludovic luc madeleine manon marc marcel marceline margaux margot marguerite "
    "marianne marielle marine martine maryse mathieu mathilde matthieu maurice maxime michel micheline mireille "
    "monique nadine nathalie noemie octave odette odile olivier pascal pascale patrice paulette philippe pierre "
    "quentin raoul raymonde remi remy rene renee rodolphe roland romain roxane sabine sandrine severine simone "
    "solange stephane sylvain sylvie therese thibault thierry valentin valentine veronique violette virginie "
    "yann yannick yves yvette zelie "
    # German, Italian, Dutch, the north and the east
    "anja annika anton astrid birgit bjorn carsten claudia dieter dirk elke emil erik ernst franz friedrich "
    "fritz gerd gisela gretel greta gunter hans hansel heike heinz heinrich helga helmut hilde horst ingrid "
    "jens johann johannes jurgen karl katja katrin klaus kurt lars lena lotte ludwig manfred marlene matthias "
    "michaela monika nina otto petra rainer renate rolf sabrina sigrid silke stefan stefanie susanne sven "
    "thorsten torsten ulrich ulrike uta uwe werner wilhelm wolfgang alessandra alessandro angelo antonella "
    "beppe bianca carlo chiara davide domenico enzo fabio filippo francesca francesco franco gianni giacomo "
    "giorgia giorgio giovanna giovanni giulia giulio giuseppe guido ilaria luca luciano luigi marcello marco "
    "matteo mattia michele paolo pietro riccardo roberta salvatore serena silvio simona stefano umberto valeria "
    "vittorio anouk bram daan femke henk hendrik jeroen joost kees maarten marieke piet pieter sanne sjoerd "
    "willem wouter anders arne aksel freja gunnar gustav haakon hakan ingmar inger jonas kaisa karin knut lasse "
    "liv magnus maja mikko nils olaf olav ole olof pekka signe sigurd solveig svein thor tove agnieszka andrzej "
    "ewa jana jiri kasia katarzyna krzysztof ludmila magda malgorzata marek milan milos ondrej pavel piotr "
    "radek stanislav tomasz tomek vaclav vojtech zdenek zofia zuzana ahmed aisha ali amina amir ayse fatma "
    "hassan hussein ibrahim karim khaled layla leila mehmet mohamed mohammed mustafa nadia nour omar rashid "
    "samir yasmin yusuf zeynep aditya amit anil anjali arjun asha deepak divya kavita kiran krishna lakshmi "
    "meera mohan neha nisha pooja priya rahul raj rajesh ravi rohan sanjay shreya sita sunita suresh vijay "
    "vikram akira hana haruka haruto hiroshi kenji naoko sakura satoshi takashi yuki yoko jisoo minho minjun "
    "soyeon jihoon lei mei ming xiaoming wei "
    # Cyrillic, Greek, Arabic, Hebrew, Devanagari
    "александр алексей алёна алла анастасия андрей анна антон аня борис вадим валентина валерий варвара василий "
    "ваня вера виктор виктория виталий владимир вова галина григорий даша денис дмитрий дима евгений егор "
    "екатерина елена женя зина иван игорь илья ирина катя кирилл ксения лариса лена леонид лиза людмила максим "
    "марина мария маша михаил миша надежда наталья наташа никита николай ольга оля павел петр пётр петя полина "
    "роман саша светлана семён сергей серёжа софья степан таня татьяна тимур фёдор юлия юрий яна оксана тарас "
    "богдан олена андрій дмитро іван марія αννα γιώργοσ γιάννησ δημήτρησ ελένη κατερίνα κώστασ μαρία νίκοσ "
    "σοφία أحمد محمد محمود علي عمر خالد حسن حسين يوسف إبراهيم سامي كريم فاطمة مريم سارة ليلى نورة نور زينب هدى "
    "عائشة سلمى דוד יוסי משה רחל שרה דנה נועה רותי אבי राम सीता राहुल प्रिया अमित अंजलि रवि मोहन सुनीता राज "
    "नेहा पूजा विजय दीपक गीता मीना रमेश सुरेश आशा किरण "
    # Korean, Japanese
    "민수 지영 민준 서연 지훈 수진 영희 철수 현우 지우 하은 은지 유진 태호 준호 미나 소영 영수 太郎 花子 次郎 "
    "健太 美咲 さくら ゆき けん 翔太 陽子 恵子"
)

# In English the last word tells who it is ("Old Woman"), in the other languages the first.
_ENGLISH_PEOPLE = words(
    "author editor publisher owner reader winner loser kids he she him her user human person bot ai "
    "guy actor actress advisor agent anchor angel announcer applicant assistant attendant audience aunt auntie author "
    "baker barber barista barman bartender boss boy bride brother buyer caller candidate captain caregiver cashier "
    "chef child chorister citizen clerk client coach cop counsellor customer dad daddy daughter detective director "
    "doctor driver employee engineer executioner expert father farmer fisherman friend gentleman ghost girl giant "
    "grandma grandfather grandmother grandpa granny guard guest host hostess husband inspector instructor interviewee "
    "interviewer journalist judge juror king knight lady landlady landlord lawyer librarian lecturer maid mailman man "
    "manager mayor merchant messenger mom moderator monk mother mum mummy murderer neighbor neighbour nephew niece "
    "nun nurse officer operator optician pa panelist parent passenger patient pharmacist pilot pirate plumber "
    "policeman policewoman porter postman president presenter priest prince princess professor prosecutor pupil queen "
    "receptionist reporter representative robot sailor salesman saleswoman salesperson scientist secretary seller "
    "sergeant servant sheriff shepherd shopkeeper sister soldier son speaker stranger student supervisor teacher "
    "technician teen teenager thief tourist traveller traveler tutor uncle vendor visitor waiter waitress wife witch "
    "witness wizard wolf fox lion mouse woman worker writer"
)
_OTHER_PEOPLE = words(
    # Spanish
    "autor autora editor editora hablante parlante orador oradora persona voz abogado abogada abuela abuelo alumna "
    "alumno amiga amigo anciana anciano camarera camarero capitan cliente clienta cocinero conductor conductora "
    "dependienta dependiente detective director directora doctora enfermera enfermero entrevistador entrevistadora "
    "entrevistado entrevistada estudiante hermana hermano hija hijo hombre invitada invitado jefa jefe juez jueza "
    "maestra maestro mama medico medica moderador moderadora mozo mujer nieta nieto nina nino locutor locutora "
    "paciente padre papa pasajera pasajero periodista policia presentador presentadora princesa principe profesor "
    "profesora recepcionista reina reportero rey senor senora senorita soldado taxista testigo tia tio turista vecina "
    "vecino vendedor vendedora viajero "
    # French
    "auteur autrice editeur locuteur locutrice intervenant intervenante personne voix accusateur ami amie animateur "
    "animatrice avocat avocate auditeur boulanger boulangere capitaine client comte comtesse conducteur cuisinier "
    "docteur eleve enfant enqueteur enseignant enseignante etudiant etudiante femme fille fils frere garcon grand- "
    "mere grand-pere homme infirmier infirmiere inspecteur intervieweur invite invitee journaliste juge maitre "
    "maitresse maman marchand marchande mari marie medecin mere monsieur madame mademoiselle moderateur narrateur "
    "narratrice oncle passager passagere patient patiente patron patronne pere policier presentateur presentatrice "
    "prince princesse prof professeur professeure recruteur reine roi serveur serveuse servante soeur soldat tante "
    "temoin touriste valet vendeur vendeuse vieille vieillard voisin voisine voyageur "
    # German, Italian, Portuguese, Russian
    "autorin redakteur redakteurin autore intervistato falante stimme arzt arztin frau freund freundin gast herr "
    "junge kellner kellnerin kind konig konigin kunde kundin lehrer lehrerin madchen mann moderator moderatorin "
    "mutter patientin polizist reporter richter schuler schulerin student studentin vater verkaufer verkauferin zeuge "
    "cameriere dottore dottoressa donna uomo ragazzo ragazza mamma madre giornalista ospite intervistatore aluno "
    "aluna garcom menina menino mae pai professora senhor senhora врач мама мужчина женщина папа пациент покупатель "
    "продавец учитель учительница ученик автор редактор корреспондент интервьюер спикер голос ведущий ведущая гость "
    "журналист бабушка дедушка мальчик девочка"
)
# Words for a speaker and nothing else: one such label is enough.
SPEAKING_ROLES = words(
    "narrator announcer speaker host presenter storyteller voice voiceover voice-over narrador narradora "
    "locutor locutora presentador presentadora narrateur narratrice presentateur presentatrice animateur "
    "animatrice sprecher sprecherin erzahler erzahlerin narratore рассказчик рассказчица 旁白 解说 画外音 "
    "主持人 主播 讲述者 ナレーター 司会 내레이터 사회자"
)
TITLES = words(
    "dr doctor mr mrs ms miss mx prof professor sir madam lady lord king queen prince princess captain capt "
    "colonel general sergeant sgt lieutenant lt judge justice inspector detective officer president senator "
    "father brother sister mother uncle aunt auntie grandma grandpa reverend rev rabbi saint st old young "
    "little big sr sra srta don dona senor senora senorita doctora profesor profesora tio tia rey reina "
    "principe princesa padre m mme mlle monsieur madame mademoiselle maitre docteur professeur oncle tante roi "
    "reine herr frau fraulein onkel konig konigin signor signora signorina dottor dottoressa"
)
ARTICLES = words("the a an first second third another el la los las un una le les l der die das il lo o os as")

# Chinese: family names that begin few other words, forms of address, and people.
FAMILY_NAMES = frozenset(
    "李王张刘陈杨赵吴徐孙朱胡郭林罗郑梁谢宋唐韩曹邓萧冯彭吕苏卢蒋蔡魏薛叶阎潘杜钟汪田姚谭廖邹熊陆郝孔崔邱秦江侯邵孟龙段雷钱汤尹"
    "黎乔贺赖龚欧阮柳章詹葛張劉陳楊趙吳孫羅鄭謝韓馮鄧蕭彭呂蘇盧蔣葉閻鍾譚鄒陸龍雷錢湯喬賀賴龔歐"
)
CHINESE_PEOPLE = tuple(
    words(
        "先生 女士 小姐 老师 教授 医生 大夫 护士 经理 老板 同学 师傅 记者 主持人 嘉宾 学生 顾客 "
        "客人 店员 服务员 司机 警察 法官 律师 病人 患者 妈妈 爸爸 爷爷 奶奶 外公 外婆 哥哥 姐姐 "
        "弟弟 妹妹 叔叔 阿姨 儿子 女儿 丈夫 妻子 母亲 父亲 男人 女人 男孩 女孩 老人 孩子 朋友 "
        "邻居 面试官 采访者 受访者 观众 客服 用户 助手 机器人 作者 译者 导演 编剧 作家 著者 说话人 "
        "审判长 检察官 公诉人 辩护人 代理人 证人 书记员 校长 班长 队长 导游 乘客 售货员 营业员 "
        "房东 租客 听众 丫鬟 掌柜 徒弟 "
        "发言人 讲者 话者 話者 国王 王后 公主 王子 将军 士兵 皇帝 旁白 主播 狐狸 狼 兔子 老虎 "
        "狮子 猫 狗 男 女 甲 乙 丙 丁"
    )
)
JAPANESE_NAMES = tuple(
    words(
        "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 斎藤 清水 山崎 森 "
        "池田 橋本 阿部 石川 先生 店員 客 母 父 部長 社長 医者 学生 司会 司会者 記者 さん くん ちゃん"
    )
)
KOREAN_PEOPLE = tuple(words("선생님 학생 손님 점원 의사 환자 엄마 아빠 기자 진행자 할머니 할아버지 씨"))
_KOREAN_FAMILY_NAMES = "김이박최정강조윤장임한오서신권황안송류홍"


def is_person(name: list[str]) -> bool:
    """Whether a name, cut into lower-case words without accents, numbers and articles, is surely somebody's."""
    if not name:
        return False
    if len(name) > 1 and name[0].rstrip(".") in TITLES:
        return True
    plain = [word.rstrip(".") for word in name]
    if plain[0].split("-")[0] in FIRST_NAMES or plain[-1] in _ENGLISH_PEOPLE or plain[0] in _OTHER_PEOPLE:
        return True
    return any(word in SPEAKING_ROLES for word in plain) or (len(name) == 1 and _is_asian_person(name[0]))


def is_first_name(name: list[str]) -> bool:
    """Whether that is one first name and nothing else."""
    return len(name) == 1 and name[0] in FIRST_NAMES


def _is_asian_person(name: str) -> bool:
    if "\uac00" <= name[0] <= "\ud7a3":
        return name.endswith(KOREAN_PEOPLE) or (
            len(name) == 3 and name[0] in _KOREAN_FAMILY_NAMES and name[1:] in FIRST_NAMES
        )
    if name.startswith(JAPANESE_NAMES) or name.endswith(JAPANESE_NAMES):
        return True
    if not "\u3400" <= name[0] <= "\u9fff":
        return False
    return (
        name.endswith(CHINESE_PEOPLE)
        or (2 <= len(name) <= 3 and name[0] in FAMILY_NAMES)
        or (2 <= len(name) <= 3 and name[0] in "小老阿")
        or name in ("我", "你", "他", "她")
    )
