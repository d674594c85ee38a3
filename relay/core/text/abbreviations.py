"""Words that a full stop follows without ending the sentence, in many languages at once.

The text of a turn does not say its language (and often mixes two), so there is one table for all. It leans to one
side on purpose: a missed end makes a segment longer, a false one is heard as a pause and a new intonation in
mid-sentence. Left out are words that commonly end a sentence in some language ("Me" before a French lawyer's name).

The three tables of abbreviations are casefolded and without the last full stop.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What these introduce follows them: a name, an example, an explanation.
NEVER_LAST = _words(
    """
    mr mrs ms mx dr prof st mt hon gov sen rep pres gen col maj capt cmdr lt sgt cpl supt insp messrs mses
    e.g i.e eg ie viz vs cf approx al ed eds trans esp incl excl orig resp
    hr fr dipl ing med phil rer jur z.b d.h u.a s.o s.u i.d.r o.g v.a z.t u.u bzw vgl ca sog evtl ggf inkl exkl zzgl geb
    gest hrsg
    mme mmes mlle mlles mgr pr p.ex c.-à-d env apr j.-c
    sr sra srta sres sras d.ª dña ud uds vd vds p.ej pág núm ee
    dra exmo exma ilmo ilma v.exa
    sig sigg sig.ra dott dott.ssa avv geom egr gent ad.es
    dhr mevr mw drs bijv d.w.z m.a.w o.a t.a.v
    t.ex bl.a d.v.s dvs f.eks bl.a.a esim jfr pga
    np tzn tzw inż św płk kpt ul
    např tzv tj mudr judr phdr rndr mvdr ún
    örn doç yrd
    ул им см напр т.е т.к т.н т.о тов г-н г-жа проф акад ср гр просп пл бул вул див
    π.χ δηλ βλ κος δρ καθ
    bpk sdr hlm gng ths
    डॉ प्रो पं
    """
)

# May end a sentence: they do unless it goes on in lower case, with a figure or with a comma.
MAYBE_LAST = _words(
    """
    etc inc ltd co corp llc plc bros jr esq a.m p.m ave blvd rd dept est ext
    usw usf ff mio mrd
    ecc cía s.a s.l s.r.l s.p.a gmbh
    enz e.d osv m.m m.fl o.s.v jne itd itp atd apod stb vb
    т.д т.п др пр руб коп тыс млн млрд
    κ.λπ κλπ
    dll dsb dst
    """
)

# End a sentence unless a figure follows: "No. 5", but "No. I will not."
BEFORE_FIGURE = _words(
    """
    no nos nr nrs num fig figs abb abs tab kap pp pg pag vol ch sec sect art eq par bd hft nº n° kl klo čl
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun
    jän mär okt dez janv févr avr juil août déc ene abr ago dic gen mag giu lug set ott
    стр рис гл ст янв февр апр авг сент окт нояб дек гг
    """
)

# After initials, dotted acronyms ("U.S.") and short numbers ("3.") a capital does not tell a name from a new sentence;
# one of these words does. The method is that of Pragmatic Segmenter, whose list is English only.
STARTERS = _words(
    """
    A An And As At Because But By Can Could Did Do Does Every For From Has Have He Her Here His How However I If In
    Is It Its Let My No Not Now Of Often On Or Our Please She Should So Some Such Than That The Their Then There These
    They This Those Though Thus To Was We Were What When Where Which While Who Why Will With Would Yes You Your
    After All Also Any Are Before Both Each Even Finally Just Maybe Meanwhile Once Perhaps Since Then Today Tomorrow
    Until Well Yesterday Yet
    Aber Als Am Auch Auf Bei Da Damit Dann Das Dass Dein Denn Der Deshalb Die Dies Diese Dieser Dieses Doch Du Ein
    Eine Er Es Für Hier Ich Ihr Im Jetzt Man Mein Mit Nach Nein Noch Nun Nur Oder Sie Sind Und Unser Von Wann Warum
    Was Weil Wenn Wer Wie Wir Wo Zu
    Alors Après Au Aussi Avec Car Ce Ceci Cela Ces Cet Cette Comme Comment Dans De Depuis Des Donc Elle Elles Et Il
    Ils Je La Le Les Leur Mais Mon Ne Non Nous Ou Où Oui Par Pour Pourquoi Quand Que Qui Sa Ses Si Son Sur Tu Un Une
    Vous
    Al Ahora Aquí Así Como Cuando Después El Ella Ellos Entonces Era Esa Ese Eso Esta Este Esto Hay Hoy Las Lo Los
    Luego Me Mi Muy Nos Nosotros Para Pero Porque Qué Sin Su Sus También Tras Una Usted Yo
    Agora Ao Com Depois Ela Ele Eles Em Então Isso Isto Mas Na Não Os Quando Se Sim Também Um Uma Você
    Anche Che Chi Ci Con Cosa Del Della Di Dopo Dove Gli Ha Ho Io Lei Loro Lui Ma Nel Noi Ora Per Perché Poi Questa
    Questo Sono Sì Uno Voi
    Dan Dat Deze Dit Een Het Hij Hoe Ik Ja Maar Nu Omdat Ook Toen Wat Wij Ze Zij
    Att Den Det Efter Ett För Han Hun Hur Jag Jeg Men Och Og Om Vi Hvor Hvorfor När
    Ale Co Czy Dla Dlaczego Gdy Jak Jest Kiedy Nie Oni On Ona Po Potem Tak To
    А Без Был Была Были Было Бы В Во Вот Вы Где Да Для До Его Ее Её Если Есть За Здесь И Из Или Их К Как Когда Кто Мы
    На Не Нет Но О Об Он Она Они Оно От По Поэтому Потом При С Со Так Также Там Теперь То Тогда У Уже Чтобы Что Это
    Этот Я
    """
)
