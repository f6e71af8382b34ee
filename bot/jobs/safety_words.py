"""The words that `bot.jobs.safety` looks for, in English and Chinese, and the harmless phrases around them.

English entries are whole words or phrases; a trailing * takes any ending. Chinese ones are regular expressions,
because Chinese has no spaces: the lookarounds keep 红色情人节 (a red Valentine's day) from reading 色情.
Add what is missed or what is wrongly refused to `tests/bot/jobs/test_safety.py` first.
"""

from __future__ import annotations

ALWAYS_EN = """
lolicon* shotacon* toddlercon* jailbait kiddie_porn* kid_porn* child_porn* childporn* kinderporn*
"""
"""Refused on their own, whatever the configuration."""

MINORS_EN = """
child children childs childlike kid kids kiddo kiddie kiddies toddler* infant infants baby babies newborn newborns
underage under_age underaged preteen* pre_teen* tween tweens teen teens teenage teenaged teenager* teenie*
adolescent* juvenile* youngster* minors a_minor the_minor schoolgirl* schoolboy* school_girl* school_boy*
little_girl* little_boy* young_girl* young_boy* small_girl* small_boy* tiny_girl* tiny_boy* girl_child* boy_child*
loli lolis lolita* shota shotas nymphet* kindergart* preschool* elementary_school* primary_school* middle_school*
junior_high* highschooler* high_schooler* high_school_girl* high_school_boy* pedo* paedo* grade_schooler*
"""

EXPLICIT_EN = """
porn* nude nudes nudity nudist* naked nakedness topless sex sexed hentai nsfw xxx rule34 rule_34 ahegao
futa futanari blowjob* blow_job* handjob* hand_job* cumshot* cum creampie* deepthroat* gangbang* gang_bang* bukkake*
orgy orgies masturbat* penis penises vagina* vulva clitoris genital* boobs pussy pussies anal dildo* upskirt* camgirl*
erotic* erotica milf milfs fuck fucking fucked fucks intercourse ejaculat* orgasm* undressed threesome* cunnilingus
fellatio handjobs horny slut sluts
"""

SUGGESTIVE_EN = """
sexy sexier sexiest sexual* lingerie panties underwear thong thongs cleavage breasts tits nipple* seductive* sensual*
provocative* undressing striptease* stripper* stripping fetish* bondage bdsm kinky aroused arousing lewd* lustful
lusting incest* rape raped raping molest* grope* groping ecchi unclothed bare_chested without_clothes no_clothes
wearing_nothing spread_legs spreading_legs making_out seduc*
"""
"""Refused with minors only."""

HARMLESS_EN = """
same_sex sex_education sex_ed sex_ratio* sex_difference* sex_linked sex_chromosome* sex_discrimination sex_and_the_city
biological_sex opposite_sex fairer_sex sex_pistols sex_determination
naked_eye* naked_mole_rat* naked_flame* naked_truth naked_cake* naked_oat* naked_bike* naked_singularity
nude_lipstick* nude_lip* nude_heel* nude_pump* nude_shoe* nude_colo* nude_tone* nude_shade* nude_palette* nude_makeup
nude_nail* nude_pink nude_beige cum_laude anal_fin* pussy_willow* pussy_cat* pussy_riot
naked_tree* naked_branch* naked_cat* naked_gun naked_juice horny_toad* horny_goat* thong_sandal* orgy_of_colo*
gender_and_sex blue_tits great_tits coal_tits oilseed_rape rape_field* rape_flower* rape_seed* rape_blossom*
baby_blue baby_pink baby_shower* baby_oil baby_grand* baby_doll* baby_breath
sexual_reproduction sexual_health sexual_dimorphism
"""
"""Taken out before anything is looked for."""

MINORS_ZH = (
    "幼女|幼童|幼儿|幼兒|幼齿|幼齒|儿童|兒童|女童|男童|小孩|孩子|小女孩|小男孩|小妹妹|小弟弟|女孩儿童|婴儿|嬰兒|宝宝|寶寶"
    "|小学生|小學生|初中生|国中生|國中生|中学生|中學生|高中生|女高中|未成年|未满十八|未满18|萝莉|蘿莉|罗莉|羅莉|少女|少年"
    "|(?<!真)正太(?![阳陽多大好过過少空平])|ロリ|ショタ|十[几幾来來][岁歲]"
)

EXPLICIT_ZH = (
    "裸|(?<![红紅黑蓝藍白绿綠灰特紫粉金银銀彩黄黃橙青棕角景原本各])色情|淫"
    "|(?<![热熱激感心爱愛风風])情色(?![彩调調])"
    "|(?<![女男个個人异異同中两兩])性[爱愛](?!好|护|護)"
    "|做[爱愛](?![心吃好护護的])|(?<![女男次个個人])性交(?![流谈談付往易际際通汇匯])"
    "|(?<![路窗出进進港门門关關])口交(?![通流互易错錯汇匯界叉代])|肛交|乳交|自慰|手淫|阴道|陰道|阴茎|陰莖|阴部|陰部"
    "|一丝不挂|一絲不掛|脱光|脫光|黄片|黃片|春宫|春宮|工口|卖淫|賣淫|援交|露阴|露陰|群交|エロ|ヌード"
)

SUGGESTIVE_ZH = (
    "(?<![女男理感个個人弹彈])性感|乳房|乳头|乳頭|内裤|內褲|情趣内衣|情趣內衣|脱衣|脫衣|光着身|光著身|没穿衣服|沒穿衣服"
    "|不穿衣服|强奸|強姦|轮奸|輪姦|猥亵|猥褻|性侵|乱伦|亂倫|诱奸|誘姦|性虐|调教|調教|露三点|露三點|发情|發情"
)

HARMLESS_ZH = (
    "裸眼|赤裸裸|裸色|裸粉|裸妆|裸妝|裸鼹鼠|裸鼴鼠|裸辞|裸辭|裸机|裸機|裸子植物|裸婚|裸麦|裸麥|裸露的?[岩砖磚土红紅]"
    "|淫雨|同性[爱愛]|两性教育|性教育|书生宝宝"
)
