#!/usr/bin/python3
"""Adds the Exchange-like attributes that directory synchronisation reads to a Samba AD schema (Samba stopped or running,
'dsdb:schema update allowed = yes').  samba-exchange-schema.py SMB_CONF SAM_LDB
Not Microsoft's schema files: our own definitions with the published names and syntaxes of a few attributes. Where an OID is not
known it is made up, below the arc for private ones (1.2.840.113556.1.8000.2554)."""
import sys
import ldb
from samba.samdb import SamDB
from samba.param import LoadParm
from samba.auth import system_session
lp = LoadParm(); lp.load(sys.argv[1]); db = SamDB(url=sys.argv[2], lp=lp, session_info=system_session(lp))
S = str(db.get_schema_basedn())
attrs = [(f"ms-Exch-Extension-Attribute-{k}", f"extensionAttribute{k}", f"1.2.840.113556.1.2.{422+k if k <= 10 else 588+k}", "2.5.5.12", 64, True) for k in range(1, 16)]
attrs += [("ms-Exch-Mail-Nickname", "mailNickname", "1.2.840.113556.1.2.447", "2.5.5.12", 64, True), ("ms-Exch-Target-Address", "targetAddress", "1.2.840.113556.1.4.7000.102.11", "2.5.5.12", 64, True),
  ("ms-Exch-Hide-From-Address-Lists", "msExchHideFromAddressLists", "1.2.840.113556.1.4.7000.102.73", "2.5.5.8", 1, True), ("ms-Exch-Recipient-Type-Details", "msExchRecipientTypeDetails", "1.2.840.113556.1.4.7000.102.50855", "2.5.5.16", 65, True),
  ("ms-Exch-Mailbox-Guid", "msExchMailboxGuid", "1.2.840.113556.1.4.7000.102.11058", "2.5.5.10", 4, True),
  ("ms-Exch-Telephone-Assistant", "telephoneAssistant", "1.2.840.113556.1.2.79", "2.5.5.12", 64, True),
  ("ms-Exch-Master-Account-Sid", "msExchMasterAccountSid", "1.2.840.113556.1.8000.2554.1.1", "2.5.5.17", 4, True),
  ("ms-Exch-Recipient-Display-Type", "msExchRecipientDisplayType", "1.2.840.113556.1.8000.2554.1.2", "2.5.5.9", 2, True),
  ("ms-Exch-Require-Auth-To-SendTo", "msExchRequireAuthToSendTo", "1.2.840.113556.1.8000.2554.1.3", "2.5.5.8", 1, True),
  ("ms-Exch-Usage-Location", "msExchUsageLocation", "1.2.840.113556.1.4.7000.102.51989", "2.5.5.12", 64, True)]
for cn, name, oid, syn, om, single in attrs:
    try: db.add_ldif(f"dn: CN={cn},{S}\nobjectClass: top\nobjectClass: attributeSchema\ncn: {cn}\nlDAPDisplayName: {name}\nadminDisplayName: {cn}\nattributeID: {oid}\nattributeSyntax: {syn}\noMSyntax: {om}\nisSingleValued: {'TRUE' if single else 'FALSE'}\nsearchFlags: 1\nshowInAdvancedViewOnly: TRUE\n")
    except Exception as e:
        if e.args and e.args[0] == ldb.ERR_ENTRY_ALREADY_EXISTS: continue
        sys.exit(f"{name}: {e}")
db.set_schema_update_now()
db.modify_ldif(f"dn: CN=Mail-Recipient,{S}\nchangetype: modify\nadd: mayContain\n" + "".join(f"mayContain: {a[1]}\n" for a in attrs))
db.set_schema_update_now(); print("ok", len(attrs), "attributes")
