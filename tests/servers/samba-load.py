#!/usr/bin/python3
"""Load LDIF straight into a Samba AD sam.ldb, Samba stopped (fastest way in).
   samba-load.py SMB_CONF SAM_LDB LDIF [--batch N] [--no-batch-mode] [--sync]
Adds and modify records, in the order of the file. Run with Debian's /usr/bin/python3 (python3-samba)."""
import argparse, sys, time
from samba.samdb import SamDB
from samba.param import LoadParm
from samba.auth import system_session
import ldb
p = argparse.ArgumentParser(); p.add_argument("conf"); p.add_argument("sam"); p.add_argument("ldif")
p.add_argument("--batch", type=int, default=20000); p.add_argument("--no-batch-mode", action="store_true")
p.add_argument("--sync", action="store_true"); p.add_argument("--keep-going", action="store_true")
a = p.parse_args()
lp = LoadParm(); lp.load(a.conf)
opts = [] if a.no_batch_mode else ["batch_mode:1"]
flags = ldb.FLG_DONT_CREATE_DB | (0 if a.sync else ldb.FLG_NOSYNC)
db = SamDB(url=a.sam, lp=lp, session_info=system_session(lp), options=opts, flags=flags)
def records(f):
    buf = []
    for l in f:
        if l == "\n":
            if buf: yield "".join(buf); buf = []
        else: buf.append(l)
    if buf: yield "".join(buf)
n = bad = 0; t0 = time.time(); intx = False
with open(a.ldif, encoding="utf-8") as f:
    for rec in records(f):
        if not intx: db.transaction_start(); intx = True
        for ch, msg in db.parse_ldif(rec + "\n"):
            try:
                if ch == ldb.CHANGETYPE_MODIFY: db.modify(msg)
                elif ch in (ldb.CHANGETYPE_NONE, ldb.CHANGETYPE_ADD):
                    db.add(msg)
                else: raise ldb.LdbError(80, "change type %d" % ch)
            except ldb.LdbError as e:
                bad += 1; print("%s: %s" % (msg.dn, e.args[1]), file=sys.stderr)
                if not a.keep_going: db.transaction_cancel(); sys.exit(1)
        n += 1
        if n % a.batch == 0:
            db.transaction_commit(); intx = False
            print("%d records, %.0f/s" % (n, n / (time.time() - t0)), flush=True)
if intx: db.transaction_commit()
dt = time.time() - t0
print("%d records, %d refused, %.1f s, %.0f/s" % (n, bad, dt, n / dt))
