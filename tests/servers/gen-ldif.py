#!/usr/bin/env python3
"""Deterministic LDIF generator: AD-like users, groups, contacts and OUs.

  gen-ldif.py --schema ad   --base DC=contoso,DC=test --users 10000 --seed 1 --out ad.ldif
  gen-ldif.py --schema inet --base dc=example,dc=com  --users 100000 --seed 1 --out inet.ldif [--memberof]
  gen-ldif.py ... --changes 500 --change-seed 7 --out delta.ldif     (change records for the same tree)

Same arguments -> same bytes. Standard library only. Entry i depends on (seed, i) alone, so a tree with
more users keeps the first ones (managers and memberships aside).
--schema ad   Microsoft's schema: attributes of a plain AD forest; --exchange adds extensionAttribute1-15,
              mailNickname, targetAddress, msExch* (load exchange-schema.ldif first).
--schema inet inetOrgPerson / groupOfNames, for OpenLDAP or 389 DS.
"""
import argparse, base64, random, re, sys, uuid
from hashlib import blake2b

GIVEN = """James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph
Jessica Thomas Sarah Charles Karen Jürgen Björn Søren Åsa Zoë Chloé François Renée José María Iñigo Łukasz Małgorzata
Żaneta Jiří Dvořák Šárka Ágnes Gábor Ödön Ümit İbrahim Çağla Oğuz Þóra Æsa Ngọc Thủy Đức Nguyễn Kṛṣṇa Siobhán Pádraig
Владимир Наталья Георгий Олександр Αλέξανδρος Ελένη Γιώργος 田中 花子 太郎 健一 王伟 李娜 张敏 김민준 이서연 محمد فاطمة עומר נועה
अमित प्रिया สมชาย สุดา გიორგი Անի ተስፋዬ O'Neil Jean-Luc Anne-Marie D'Arcy Mary-Jo""".split()
FAMILY = """Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Müller Schmidt Weiß Groß Köhler
Lindström Ångström Ørsted Sjögren Nuñez Peña Gonçalves Araújo Wałęsa Wójcik Dvořáková Novotný Kovács Őry Yıldız Şahin
Güneş Guðmundsdóttir Nguyễn Trần Phạm Иванов Петрова Шевченко Παπαδόπουλος Νικολάου 山田 佐藤 鈴木 高橋 王 李 刘 陈 김 박 이 الأحمد حسن
כהן לוי शर्मा पटेल ชัยวัฒน์ ბერიძე Պետրոսյան O'Brien O’Connor McDonald-Smith de_la_Cruz van_der_Berg von_und_zu_Guttenberg St._John
Ibn-Rushd Al-Farabi Saint-Exupéry Lloyd-Jones Null True Test Admin""".split()
CITY = [("Seattle","WA","98101","US","United States",840,"+1 206 555 "),("München","Bayern","80331","DE","Germany",276,"+49 89 5550 "),
 ("Zürich","ZH","8001","CH","Switzerland",756,"+41 44 555 "),("São Paulo","SP","01310-100","BR","Brazil",76,"+55 11 5555 "),
 ("København","Hovedstaden","1050","DK","Denmark",208,"+45 33 55 "),("Kraków","Małopolskie","31-001","PL","Poland",616,"+48 12 555 "),
 ("東京","東京都","100-0001","JP","Japan",392,"+81 3 5555 "),("İstanbul","İstanbul","34110","TR","Turkey",792,"+90 212 555 "),
 ("Αθήνα","Αττική","105 57","GR","Greece",300,"+30 210 555 "),("Québec","QC","G1R 2L3","CA","Canada",124,"+1 418 555 "),
 ("Bengaluru","Karnataka","560001","IN","India",356,"+91 80 5555 "),("Reykjavík","","101","IS","Iceland",352,"+354 555 ")]
DEPT = ["Sales","Engineering","Human Resources","Finance","Legal & Compliance","Research, Development","Ops/IT","Forschung & Entwicklung","Kundenbetreuung","営業部","Отдел продаж","Marketing \"EMEA\"","R+D","Facilities;Security","Executive Office"]
TITLE = ["Engineer","Senior Engineer","Manager","Director","VP, Sales","Analyst","Administrator","Consultant","Assistant","Leiter/in","Ingénieur·e","部長","Технический директор","Trainee (m/w/d)","Chief <Something> Officer"]
COMPANY = ["Contoso","Contoso GmbH & Co. KG","Contoso, Ltd.","コントソ株式会社","Fabrikam"]
# hard RDN values: (comment, text). Each is used once per 'weird' turn, with a number so that it stays unique
WEIRD = [("comma","Müller, Jürgen {n}"),("quote",'Robert "Bob" Smith {n}'),("plus","C+{n}+Dev"),("hash","#hash {n}"),
 ("lead-space"," Leading {n}"),("trail-space","Trailing {n} "),("backslash","Back\\slash {n}"),("semicolon","Semi;colon {n}"),
 ("angle","<angle> {n}"),("equals","a=b,c=d {n}"),("slash","Slash/Name {n}"),("emoji","😀👩🏽‍💻 {n}"),("rtl","אבג دهو {n}"),
 ("nfd","Jose\u0301 Nu\u0301n\u0303ez {n}"),("nfc","José Núñez {n}"),("paren","Star* (paren) {n}"),("turkish","İIıi {n}"),
 ("sharp-s","STRASSE straße {n}"),("fullwidth","ＡＢＣ１２３ {n}"),("zwj","क्‍ष zero\u200bwidth {n}"),("ligature","ﬁre ﬂy {n}"),
 ("comma-ends",",comma,ends{n},"),("inner-spaces","two  spaces   three {n}"),("percent","100% {n} %20"),("ampersand","A&B&amp; {n}"),
 ("apostrophe","L'Été d’août {n}"),("long","x" * 50 + " {n}"),("onlydigits","007{n}")]

def rng(seed, kind, i): return random.Random(int.from_bytes(blake2b(f"{seed}/{kind}/{i}".encode(), digest_size=8).digest(), "big"))
SAFE = re.compile(r'^[\x01-\x09\x0b\x0c\x0e-\x1f\x21-\x39\x3b\x3d-\x7f][\x01-\x09\x0b\x0c\x0e-\x7f]*$')
def escape(v):
    """RFC 4514 attribute value."""
    out = re.sub(r'([\\",+;<>=])', r'\\\1', v)
    if out.startswith(("#", " ")): out = "\\" + out
    if v.endswith(" ") and len(v) > 1: out = out[:-1] + "\\ "
    return out
def line(attr, v):
    if isinstance(v, bytes): return f"{attr}:: {base64.b64encode(v).decode()}"
    v = str(v)
    if SAFE.match(v) and not v.endswith(" "): return f"{attr}: {v}"
    return f"{attr}:: {base64.b64encode(v.encode()).decode()}"
def asc(s):
    import unicodedata
    t = unicodedata.normalize("NFKD", s).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "", t).lower()

class Tree:
    def __init__(s, a):
        s.a = a; s.ad = a.schema == "ad"
        s.root = f"OU=Lab,{a.base}" if s.ad else f"ou=Lab,{a.base}"
        ou = "OU" if s.ad else "ou"
        s.ous = [f"{ou}={escape(n)},{s.root}" for n in ["People","Städte, Ämter","R&D + Labs","#Special","営業 部","Disabled"]]
        s.gou = f"{ou}=Groups,{s.root}"; s.cou = f"{ou}=Contacts,{s.root}"
        s.nest = [f"{ou}=Level{d}," for d in range(1, 9)]
        s.deep = "".join(reversed(s.nest)) + s.root
        s.rdn = "CN" if s.ad else "cn"
        s._u = {}
    # ---- identities, recomputed at will
    def user_core(s, i):
        r = rng(s.a.seed, "u", i)
        g = r.choice(GIVEN); f = r.choice(FAMILY).replace("_", " ")
        login = f"{(asc(g) or 'u')[:6]}.{(asc(f) or 'x')[:6]}{i}"[:20]
        weird = s.a.weird and i % s.a.weird == s.a.weird - 1
        if weird: cn = WEIRD[(i // s.a.weird) % len(WEIRD)][1].format(n=i)
        elif i % 10 == 3: cn = f"{f}, {g} ({i})"          # AD's common "Family, Given" form
        else: cn = f"{g} {f} {i}"
        disabled = r.random() < 0.06
        ou = s.ous[5] if disabled and r.random() < .7 else (s.deep if i % 500 == 499 else s.ous[min(4, int(r.random() ** 3 * 5))])
        if not s.ad and weird is False and i % 7 == 5: dn = f"uid={login},{ou}"; rdn = "uid"
        else: dn = f"{s.rdn}={escape(cn)},{ou}"; rdn = "cn"
        return r, g, f, login, cn, dn, disabled, rdn
    def user_dn(s, i): return s.user_core(i)[5]
    def group_name(s, j):
        if s.a.weird and j % 40 == 39: return "Group " + WEIRD[(j // 40) % len(WEIRD)][1].format(n=j)
        return f"{['SG','DL','APP','ROLE','PRJ'][j % 5]}-{DEPT[j % len(DEPT)].split()[0]}-{j:05d}"
    def group_dn(s, j): return f"{s.rdn}={escape(s.group_name(j))},{s.gou}"
    def contact_dn(s, k): return f"{s.rdn}={escape(f'{GIVEN[k % len(GIVEN)]} Partner, {k}')},{s.cou}"

    # ---- records
    def containers(s):
        oc = ["top", "organizationalUnit"]
        yield s.root, [("objectClass", x) for x in oc] + [("description", "Lab data, generated; seed %s" % s.a.seed)]
        for dn in s.ous + [s.gou, s.cou]: yield dn, [("objectClass", x) for x in oc]
        dn = s.root
        for n in s.nest:
            dn = n + dn; yield dn, [("objectClass", x) for x in oc]
    def user(s, i):
        a = s.a; r, g, f, login, cn, dn, disabled, rdn = s.user_core(i)
        c = r.choice(CITY); dom = a.domain; dep = r.choice(DEPT); v = []
        oc = ["top","person","organizationalPerson","user"] if s.ad else ["top","person","organizationalPerson","inetOrgPerson"]
        v += [("objectClass", x) for x in oc]
        v += [("cn", cn), ("sn", f), ("givenName", g), ("displayName", cn if r.random() < .8 else f"{f}, {g}"),
              ("initials", (asc(g)[:1] + asc(f)[:1]).upper() or "XX")]
        mail = f"{login}@{dom}"
        tel = c[6] + f"{r.randrange(10000):04d}"
        if s.ad:
            uac = 0x200 | 0x20 | (0x2 if disabled else 0) | (0x10000 if r.random() < .3 else 0) | (0x40000 if r.random() < .01 else 0)
            v += [("sAMAccountName", login), ("userPrincipalName", f"{login}@{dom}" if r.random() < .95 else f"{login}@{dom.upper()}"),
                  ("userAccountControl", uac), ("mail", mail if r.random() < .9 else mail.title())]
            px = [f"SMTP:{mail}"] + [f"smtp:{login}.{k}@{r.choice(['mail.', 'old.', 'eu.', ''])}{dom}" for k in range(r.randrange(0, 6))]
            if r.random() < .3: px.append(f"SIP:{mail}")
            if r.random() < .2: px.append(f"X500:/o=Contoso/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn={uuid.UUID(int=r.getrandbits(128)).hex}-{asc(g)}")
            if r.random() < .02: px.append(f"smtp:{login}.upper@{dom.upper()}")
            v += [("proxyAddresses", p) for p in dict.fromkeys(px)]
            v += [("c", c[3]), ("co", c[4]), ("countryCode", c[5]), ("company", r.choice(COMPANY)), ("department", dep),
                  ("wWWHomePage", f"https://people.{dom}/{login}"), ("homePhone", tel + "9"), ("info", f"Line one\r\nLine two of {i}"),
                  ("employeeID", f"E{i:07d}"), ("division", r.choice("ABCDEF")), ("comment", f"seed {a.seed} no {i}")]
            if r.random() < .1: v.append(("accountExpires", 133000000000000000 + i * 10**7))
            if r.random() < .1: v.append(("mS-DS-ConsistencyGuid", uuid.UUID(int=r.getrandbits(128)).bytes_le))
            if r.random() < .5: v.append(("otherTelephone", tel + "1")); v.append(("otherTelephone", tel + "2"))
            if r.random() < .05: v.append(("adminDescription", "User_NoSync"))
            if a.photos and r.random() < a.photos: v.append(("thumbnailPhoto", b"\xff\xd8\xff\xe0" + r.randbytes(2000 + r.randrange(6000)) + b"\xff\xd9"))
            if a.exchange:
                v += [("mailNickname", login), ("msExchRecipientTypeDetails", 1), ("msExchHideFromAddressLists", "FALSE" if r.random() < .95 else "TRUE")]
                v += [(f"extensionAttribute{k}", f"{r.choice(DEPT)}|{r.randrange(1000)}") for k in range(1, 16) if r.random() < .4]
        else:
            if rdn == "cn" or True: v.append(("uid", login))
            v += [("mail", mail)] + [("mail", f"{login}.{k}@{dom}") for k in range(r.randrange(0, 3))]
            v += [("o", r.choice(COMPANY)), ("ou", dep), ("departmentNumber", f"{DEPT.index(dep):03d}"), ("homePhone", tel + "9"),
                  ("labeledURI", f"https://people.{dom}/{login} Home"), ("preferredLanguage", f"{c[3].lower()}-{c[3]}"),
                  ("carLicense", f"{c[3]}-{r.randrange(10**6):06d}"), ("businessCategory", "internal"), ("roomNumber", str(r.randrange(1, 999)))]
            if a.password: v.append(("userPassword", a.password))
            if a.photos and r.random() < a.photos: v.append(("jpegPhoto", b"\xff\xd8\xff\xe0" + r.randbytes(2000 + r.randrange(6000)) + b"\xff\xd9"))
        v += [("title", r.choice(TITLE)), ("telephoneNumber", tel), ("mobile", tel + "0"), ("facsimileTelephoneNumber", tel + "8"),
              ("streetAddress" if s.ad else "street", f"{r.randrange(1, 300)} {f} Straße\r\nBldg {r.randrange(9)}" if s.ad else f"{r.randrange(1, 300)} {f} Straße"),
              ("l", c[0]), ("postalCode", c[2]), ("physicalDeliveryOfficeName", f"{c[0]}/{r.randrange(1, 40)}"),
              ("employeeNumber", f"{i:07d}"), ("employeeType", r.choice(["Employee", "Contractor", "Intern", "Vendor"])),
              ("description", f"{dep}: user {i}")]
        if c[1]: v.append(("st", c[1]))
        if i > 0 and r.random() < .9:                  # a manager always has a lower number
            v.append(("manager", s.user_dn(0 if i < 10 else (i // 10 if r.random() < .9 else r.randrange(i)))))
        return dn, v
    def contact(s, k):
        r = rng(s.a.seed, "c", k); dn = s.contact_dn(k); g = GIVEN[k % len(GIVEN)]
        mail = f"partner{k}@{r.choice(['fabrikam.example', 'xn--mller-kva.example', 'partner.example'])}"
        v = [("objectClass", x) for x in (["top","person","organizationalPerson","contact"] if s.ad else ["top","person","organizationalPerson","inetOrgPerson"])]
        v += [("cn", f"{g} Partner, {k}"), ("sn", "Partner"), ("givenName", g), ("displayName", f"{g} Partner (extern)"), ("mail", mail)]
        if s.ad: v += [("proxyAddresses", f"SMTP:{mail}"), ("proxyAddresses", f"smtp:ext{k}@{s.a.domain}"), ("company", "Fabrikam")]
        if s.ad and s.a.exchange: v += [("targetAddress", f"SMTP:{mail}"), ("mailNickname", f"partner{k}")]
        return dn, v
    def big_sizes(s):
        n = s.a.users
        return [x for x in (n, n // 2, n // 10, min(n, 5001), min(n, 1501), min(n, 1500)) if x > 0][: s.a.big_groups]
    def group(s, j):
        a = s.a; r = rng(a.seed, "g", j); name = s.group_name(j); dn = s.group_dn(j); big = s.big_sizes()
        if j < len(big):
            n = big[j]; step = max(1, a.users // n); members = [s.user_dn(i) for i in range(0, step * n, step)][:n]
        else:
            n = min(a.users, int(r.paretovariate(1.1)) * 3 if r.random() > .05 else 0)
            members = [s.user_dn(i) for i in r.sample(range(a.users), min(n, 400))]
            if j > 8 and r.random() < .3: members += [s.group_dn(x) for x in set(r.sample(range(len(big), j), min(3, j - len(big))))]
            if a.contacts and r.random() < .1: members += [s.contact_dn(r.randrange(a.contacts))]
        v = [("objectClass", x) for x in (["top", "group"] if s.ad else ["top", "groupOfNames"])] + [("cn", name), ("description", f"Group {j}, seed {a.seed}")]
        if s.ad:
            # universal security, universal distribution, global security (no universal may nest in it: rare)
            gt = -2147483640 if j % 3 else 8
            v += [("sAMAccountName", f"grp{j:05d}"), ("groupType", gt), ("displayName", name), ("info", "generated")]
            if j % 2: v += [("mail", f"grp{j}@{a.domain}"), ("proxyAddresses", f"SMTP:grp{j}@{a.domain}"), ("proxyAddresses", f"smtp:team.{j}@{a.domain}")]
            if a.users: v.append(("managedBy", s.user_dn(j % a.users)))
        else:
            if a.users: v.append(("owner", s.user_dn(j % a.users)))
            if not members: members = [dn]             # groupOfNames needs one
        return dn, v, list(dict.fromkeys(members))

def emit(w, dn, attrs):
    w(line("dn", dn) + "\n" + "\n".join(line(k, v) for k, v in attrs) + "\n\n")

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--schema", choices=["ad", "inet"], default="ad"); p.add_argument("--base", default=None)
    p.add_argument("--domain", default=None, help="mail/UPN domain (from the base)")
    p.add_argument("--users", type=int, default=1000); p.add_argument("--groups", type=int, default=None, help="users/20")
    p.add_argument("--contacts", type=int, default=None, help="users/50"); p.add_argument("--big-groups", type=int, default=6)
    p.add_argument("--weird", type=int, default=50, help="every n-th user has a hard DN; 0: none"); p.add_argument("--seed", default="1")
    p.add_argument("--exchange", action="store_true"); p.add_argument("--photos", type=float, default=0.0)
    p.add_argument("--password", default=None, help="inet: userPassword value"); p.add_argument("--memberof", action="store_true", help="inet: write memberOf (slapadd only)")
    p.add_argument("--member-chunk", type=int, default=0, help="big groups: add members in modify records of this size")
    p.add_argument("--only", choices=["users", "groups", "contacts", "containers"], default=None)
    p.add_argument("--offset", type=int, default=0, help="first user number written"); p.add_argument("--base-entry", action="store_true", help="inet: write the suffix entry too")
    p.add_argument("--uuids", action="store_true", help="inet: write entryUUID (slapadd/ldif2db only)")
    p.add_argument("--changes", type=int, default=0, help="write this many change records instead"); p.add_argument("--change-seed", default="1")
    p.add_argument("--out", default="-")
    a = p.parse_args()
    if a.base is None: a.base = "DC=contoso,DC=test" if a.schema == "ad" else "dc=example,dc=com"
    if a.domain is None: a.domain = ".".join(x.split("=")[1] for x in a.base.split(","))
    if a.groups is None: a.groups = max(1, a.users // 20)
    if a.contacts is None: a.contacts = a.users // 50
    t = Tree(a); out = sys.stdout if a.out == "-" else open(a.out, "w", encoding="utf-8", newline="\n", buffering=1 << 20); w = out.write
    if a.changes: return changes(t, w)
    def ent(dn, at):
        if a.uuids: at = at + [("entryUUID", str(uuid.UUID(bytes=blake2b(dn.encode(), digest_size=16).digest(), version=4)))]
        emit(w, dn, at)
    mo = {}
    if a.memberof:
        for j in range(a.groups):
            dn, _, m = t.group(j)
            for x in m: mo.setdefault(x, []).append(dn)
    if a.only in (None, "containers"):
        if a.base_entry: ent(a.base, [("objectClass", "top"), ("objectClass", "dcObject"), ("objectClass", "organization"), ("dc", a.base.split(",")[0].split("=")[1]), ("o", "Lab")])
        for dn, at in t.containers(): ent(dn, at)
    if a.only in (None, "users"):
        for i in range(a.offset, a.users):
            dn, at = t.user(i); ent(dn, at + [("memberOf", x) for x in mo.get(dn, ())])
    if a.only in (None, "contacts"):
        for k in range(a.contacts):
            dn, at = t.contact(k); ent(dn, at + [("memberOf", x) for x in mo.get(dn, ())])
    if a.only in (None, "groups"):
        for j in range(a.groups):
            dn, at, m = t.group(j); at = at + [("memberOf", x) for x in mo.get(dn, ())]
            if a.member_chunk and len(m) > a.member_chunk:
                ent(dn, at + [("member", x) for x in m[: a.member_chunk]])
                for o in range(a.member_chunk, len(m), a.member_chunk):
                    w(line("dn", dn) + "\nchangetype: modify\nadd: member\n" + "\n".join(line("member", x) for x in m[o:o + a.member_chunk]) + "\n-\n\n")
            else: ent(dn, at + [("member", x) for x in m])
    out.flush()

def changes(t, w):
    """Change records against the tree that the same arguments made. A user is touched at most once."""
    a = t.a; r = random.Random(f"{a.seed}/{a.change_seed}"); picks = r.sample(range(1, a.users), min(a.changes, a.users - 1)); new = 0
    small = list(range(len(t.big_sizes()), a.groups)) or [0]
    for n, i in enumerate(picks):
        dn, at = t.user(i); d = dict(at); k = r.random(); h = line("dn", dn) + "\n"
        if k < .40:
            w(h + "changetype: modify\nreplace: title\n" + line("title", r.choice(TITLE) + " v2") + "\n-\nreplace: description\n" + line("description", f"changed {n}") + "\n-\n\n")
        elif k < .50 and t.ad:
            w(h + f"changetype: modify\nreplace: userAccountControl\nuserAccountControl: {int(d['userAccountControl']) ^ 2}\n-\n\n")
        elif k < .58:
            x = "proxyAddresses" if t.ad else "mail"; pre = "smtp:" if t.ad else ""
            w(h + f"changetype: modify\nadd: {x}\n" + line(x, f"{pre}added.{n}.{i}@{a.domain}") + "\n-\n\n")
        elif k < .66:
            w(h + "changetype: modify\ndelete: mobile\n-\n\n")
        elif k < .76:
            j = r.choice(small); gd, _, m = t.group(j)
            if dn not in m: w(line("dn", gd) + "\nchangetype: modify\nadd: member\n" + line("member", dn) + "\n-\n\n")
        elif k < .82:
            gd, _, m = t.group(0)
            if dn in m: w(line("dn", gd) + "\nchangetype: modify\ndelete: member\n" + line("member", dn) + "\n-\n\n")
        elif k < .88:
            w(h + "changetype: modrdn\n" + line("newrdn", f"{t.rdn}={escape(f'Renamed, {n} {i}')}") + "\ndeleteoldrdn: 1\n\n")
        elif k < .93:
            rdn = re.match(r"^((?:\\.|[^,\\])*),", dn).group(1); tgt = r.choice([o for o in t.ous if not dn.endswith(o)])
            w(h + "changetype: modrdn\n" + line("newrdn", rdn) + "\ndeleteoldrdn: 1\n" + line("newsuperior", tgt) + "\n\n")
        elif k < .97:
            w(h + "changetype: delete\n\n")
        else:
            dn2, at2 = t.user(a.users + new); new += 1
            w(line("dn", dn2) + "\nchangetype: add\n" + "\n".join(line(x, y) for x, y in at2) + "\n\n")
main()
