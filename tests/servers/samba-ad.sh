#!/usr/bin/env bash
# Samba AD domain controller on one loopback address, everything below $DIR.
#   samba-ad.sh install|provision|start|stop|status|env|wipe|load FILE.ldif|snapshot FILE|restore FILE
# `start` and `env` print KEY=VALUE lines (no quoting; values end at the line's end). `start` twice does nothing more.
# `load`, `snapshot` and `restore` want it stopped. Everything in the domain but identifiers, keys and times is the
# same on every provision. `wipe` stops it and removes $DIR, which must bear this script's mark.
# Settings (environment):
#   DIR        state folder                      (onesync-lab/samba-ad)
#   IP         loopback address to bind          (127.0.0.10)
#   REALM      Kerberos realm                    (CONTOSO.TEST)
#   DOMAIN     NetBIOS domain                    (CONTOSO)
#   DCNAME     host name of the DC               (dc1)
#   ADMINPASS  Administrator's password          (Passw0rd.Lab1)
#   BACKEND    tdb | mdb (LMDB)                  (mdb)
#   BACKEND_SIZE  LMDB map size, e.g. 8Gb        (8Gb)
#   EXCHANGE   yes | no: add a few Exchange attributes to the schema when the domain is made  (yes)
#   STRONG_AUTH   yes | no | allow_sasl_over_tls (no: simple bind on plain 389 works)
#   JOIN       address of a running DC of this realm: be a second DC of it instead of making a domain
#   ROOT needed: ports 53, 88, 135, 389, 445, 464, 636, 3268, 3269 on $IP, and security.NTACL xattrs.
set -euo pipefail
DIR=${DIR:-${TMPDIR:-/tmp}/onesync-lab/samba-ad}
IP=${IP:-127.0.0.10}
REALM=${REALM:-CONTOSO.TEST}
DOMAIN=${DOMAIN:-CONTOSO}
DCNAME=${DCNAME:-dc1}
ADMINPASS=${ADMINPASS:-Passw0rd.Lab1}
BACKEND=${BACKEND:-mdb}
BACKEND_SIZE=${BACKEND_SIZE:-8Gb}
STRONG_AUTH=${STRONG_AUTH:-no}
EXCHANGE=${EXCHANGE:-yes}
DNSDOM=$(printf %s "$REALM" | tr 'A-Z' 'a-z')
BASE="DC=${DNSDOM//./,DC=}"
CONF=$DIR/etc/smb.conf
PIDF=$DIR/samba.pid
MARK=$DIR/.onesync-samba-ad   # made by provision: only a folder with it is ever removed
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export KRB5_CONFIG=$DIR/krb5.conf LC_ALL=C.UTF-8

case $IP in 127.*) ;; *) echo "IP must be loopback" >&2; exit 2;; esac
[ "$(id -u)" = 0 ] || { echo "root is needed (xattrs, ports <1024)" >&2; exit 2; }

pid_alive() { [ -s "$PIDF" ] && kill -0 "$(cat "$PIDF")" 2>/dev/null && [ "$(cat /proc/"$(cat "$PIDF")"/comm 2>/dev/null)" = samba ]; }

install() {
  "$HERE/apt-install.sh" samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules python3-samba \
    winbind ldb-tools ldap-utils krb5-user smbclient libsasl2-modules libsasl2-modules-gssapi-mit attr acl \
    openssl zstd >&2
}

krb5conf() {
  cat > "$DIR/krb5.conf" <<K
[libdefaults]
    default_realm = $REALM
    dns_lookup_realm = false
    dns_lookup_kdc = false
    rdns = false
    dns_canonicalize_hostname = false
    udp_preference_limit = 0
[realms]
    $REALM = {
        kdc = $IP:88
        admin_server = $IP
        kpasswd_server = $IP:464
    }
[domain_realm]
    .$DNSDOM = $REALM
    $DNSDOM = $REALM
K
}

# Samba's own certificate is version 1 style: no SAN, no basicConstraints. rustls/webpki refuses it, and so does
# OpenSSL by IP. Make a CA and a server certificate with SANs instead, where Samba looks for them.
tls_files() {
  local t=$DIR/private/tls fq=$DCNAME.$DNSDOM
  mkdir -p "$t"; rm -f "$t"/*.pem
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout "$t/ca-key.pem" -out "$t/ca.pem" \
    -subj "/O=Lab/CN=$REALM Lab CA" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -keyout "$t/key.pem" -out "$t/req.csr" -subj "/O=Lab/CN=$fq" 2>/dev/null
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:%s,DNS:%s,DNS:%s,DNS:localhost,IP:%s,IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' \
    "$fq" "$DNSDOM" "$DCNAME" "$IP" > "$t/ext.cnf"
  openssl x509 -req -in "$t/req.csr" -CA "$t/ca.pem" -CAkey "$t/ca-key.pem" -CAcreateserial -days 3650 -extfile "$t/ext.cnf" -out "$t/cert.pem" 2>/dev/null
  chmod 600 "$t"/*key.pem; rm -f "$t/req.csr" "$t/ext.cnf" "$t"/*.srl
  cp -f "$t/ca.pem" "$DIR/ca.pem"
}

# a private mount name space with this instance's own /run/samba and a resolv.conf that asks Samba's DNS
in_ns() { mkdir -p "$DIR/run/winbindd" /run/samba; chmod 755 "$DIR/run" "$DIR/run/winbindd"; printf 'search %s\nnameserver %s\n' "$DNSDOM" "${JOIN:-$IP}" > "$DIR/resolv.conf"
  unshare --mount --propagation private bash -c 'mount --bind "$1/run" /run/samba && mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"; shift; exec "$@"' _ "$DIR" "$@"; }

provision() {
  if [ -s "$CONF" ]; then return 0; fi
  mkdir -p "$DIR"
  : > "$MARK"
  # Does the file system take the xattr Samba keeps NT ACLs in?
  local t; t=$(mktemp -p "$DIR"); local xattr_opt=()
  if ! /usr/bin/python3 -c 'import os,sys; os.setxattr(sys.argv[1],"security.NTACL",b"x")' "$t" 2>/dev/null; then
    # no security.* xattrs (tmpfs, overlay, some containers): keep them in a tdb instead
    xattr_opt=(--option="vfs objects=dfs_samba4 acl_xattr xattr_tdb" --option="xattr_tdb:file=$DIR/state/xattr.tdb")
  fi
  rm -f "$t"
  local be=(--backend-store="$BACKEND")
  [ "$BACKEND" = mdb ] && be+=(--backend-store-size="$BACKEND_SIZE")
  krb5conf
  if [ -n "${JOIN:-}" ]; then
    in_ns samba-tool domain join "$DNSDOM" DC --server="$JOIN" -U"Administrator%$ADMINPASS" --realm="$REALM" --targetdir="$DIR" \
      --dns-backend=SAMBA_INTERNAL "${be[@]}" --option="interfaces=$IP/8" --option="bind interfaces only=yes" --option="netbios name=${DCNAME^^}" \
      --option="ldap server require strong auth=$STRONG_AUTH" --option="pid directory=$DIR" "${xattr_opt[@]}" \
      > "$DIR/provision.log" 2>&1 || { tail -20 "$DIR/provision.log" >&2; rm -f "$CONF"; exit 1; }
  else samba-tool domain provision --targetdir="$DIR" \
    --realm="$REALM" --domain="$DOMAIN" --host-name="$DCNAME" --host-ip="$IP" \
    --adminpass="$ADMINPASS" --server-role=dc --dns-backend=SAMBA_INTERNAL \
    --function-level=2008_R2 --use-rfc2307 "${be[@]}" "${xattr_opt[@]}" \
    --option="interfaces=$IP/8" --option="bind interfaces only=yes" \
    --option="dns forwarder=" \
    --option="ldap server require strong auth=$STRONG_AUTH" \
    --option="pid directory=$DIR" \
    > "$DIR/provision.log" 2>&1 || { tail -20 "$DIR/provision.log" >&2; rm -f "$CONF"; exit 1; }
  fi
  krb5conf   # --targetdir writes no usable one
  # provision copies Debian's /etc/samba/smb.conf (PAM password sync, printers, homes); replace it whole
  local vfs=""; [ ${#xattr_opt[@]} -eq 0 ] || vfs="	vfs objects = dfs_samba4 acl_xattr xattr_tdb
	xattr_tdb:file = $DIR/state/xattr.tdb"
  cat > "$CONF" <<P
[global]
	netbios name = ${DCNAME^^}
	workgroup = $DOMAIN
	realm = $REALM
	server role = active directory domain controller
	server services = s3fs, rpc, ldap, cldap, kdc, drepl, winbindd, kcc, dns
	idmap_ldb:use rfc2307 = yes
	interfaces = $IP/8
	bind interfaces only = yes
	smb ports = 445
	rpc server dynamic port range = 49152-49300
	ldap server require strong auth = $STRONG_AUTH
	tls enabled = yes
	tls verify peer = no_check
	private dir = $DIR/private
	state directory = $DIR/state
	cache directory = $DIR/cache
	lock directory = $DIR
	pid directory = $DIR
	binddns dir = $DIR/bind-dns
	ncalrpc dir = $DIR/ncalrpc
	log level = ${LOGLEVEL:-0}
	ntp signd socket directory = $DIR/ntp_signd
	log file = $DIR/log.%m
	logging = file
	max log size = 20000
	nsupdate command = /bin/true
	spn update command = /bin/true
	dns update command = /bin/true
	password hash userPassword schemes = CryptSHA256 CryptSHA512
	dsdb:schema update allowed = yes
$vfs
[sysvol]
	path = $DIR/state/sysvol
	read only = No
[netlogon]
	path = $DIR/state/sysvol/$DNSDOM/scripts
	read only = No
P
  tls_files
  if [ -n "${JOIN:-}" ]; then
    # join leaves loopback addresses out of DNS; without these two records neither DC finds the other
    local guid au=(-U "Administrator%$ADMINPASS" -s "$CONF")
    guid=$(ldbsearch -H "$DIR/private/sam.ldb" --configfile="$CONF" -b "CN=NTDS Settings,CN=${DCNAME^^},CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,$BASE" -s base objectGUID 2>/dev/null | sed -n 's/^objectGUID: //p')
    samba-tool dns add "$JOIN" "$DNSDOM" "$DCNAME" A "$IP" "${au[@]}" >/dev/null
    samba-tool dns add "$JOIN" "_msdcs.$DNSDOM" "$guid" CNAME "$DCNAME.$DNSDOM" "${au[@]}" >/dev/null
    return 0
  fi
  # lab comfort: no expiry, no history, short passwords allowed
  samba-tool domain passwordsettings set -s "$CONF" --complexity=off --history-length=0 --min-pwd-length=4 \
    --min-pwd-age=0 --max-pwd-age=0 >/dev/null 2>&1
  if [ "$EXCHANGE" = yes ]; then
    /usr/bin/python3 "$HERE/samba-exchange-schema.py" "$CONF" "$DIR/private/sam.ldb" > "$DIR/exchange.log" 2>&1 \
      || { tail -20 "$DIR/exchange.log" >&2; rm -f "$CONF"; exit 1; }
  fi
  # service principal names, which Samba would add by itself some time after the start; a second DC needs them to pull from us
  samba_spnupdate --configfile="$CONF" >/dev/null 2>&1 || true
  # lets GSSAPI binds name the server by its address, with no DNS and no /etc/hosts line
  samba-tool spn add "ldap/$IP" "${DCNAME^^}\$" -s "$CONF" >/dev/null 2>&1
}

start() {
  install >/dev/null
  provision
  if pid_alive; then env_lines; return 0; fi
  rm -f "$PIDF"
  sed -i "s/^\(\s*ldap server require strong auth = \).*/\1$STRONG_AUTH/" "$CONF"
  mkdir -p "$DIR/ncalrpc" "$DIR/ntp_signd"; chmod 750 "$DIR/ntp_signd"
  # smbd asks winbindd through libwbclient, whose socket path (/run/samba/winbindd) is compiled in; with
  # another 'winbindd socket directory' every SMB session fails with NT_STATUS_INTERNAL_ERROR. A private
  # mount name space gives each instance its own /run/samba, so several DCs can run side by side.
  export -f in_ns; export DIR IP DNSDOM
  JOIN=${JOIN:-} setsid bash -c 'in_ns samba -s "$0" --foreground --no-process-group' "$CONF" >"$DIR/samba.out" 2>&1 </dev/null &
  local launcher=$! i
  for i in $(seq 1 300); do
    if ldapsearch -LLL -x -H "ldap://$IP" -s base -b '' currentTime >/dev/null 2>&1 \
       && LDAPTLS_CACERT=$DIR/ca.pem ldapsearch -LLL -x -H "ldaps://$IP" -D "Administrator@$DNSDOM" -w "$ADMINPASS" -s base -b "$BASE" dn >/dev/null 2>&1 \
       && (exec 3<>"/dev/tcp/$IP/88") 2>/dev/null; then
      pid_alive || { [ -d /proc/$launcher ] && echo $launcher > "$PIDF"; }
      env_lines; return 0
    fi
    [ -d /proc/$launcher ] || [ -s "$PIDF" ] || { echo "samba ended at once:" >&2; tail -20 "$DIR/samba.out" >&2; exit 1; }
    sleep 0.2
  done
  echo "samba did not answer within 60 s" >&2; tail -20 "$DIR/samba.out" >&2; exit 1
}

stop() {
  [ -s "$PIDF" ] || { echo "not running"; return 0; }
  local p i; p=$(cat "$PIDF")
  if [ "$(cat /proc/"$p"/comm 2>/dev/null)" = samba ]; then
    # all of Samba's children carry our $CONF on their command line or are descendants of $p
    local kids; kids=$(descendants "$p")
    kill -TERM "$p" 2>/dev/null || true
    for i in $(seq 1 100); do [ -d "/proc/$p" ] || break; sleep 0.1; done
    for k in $p $kids; do [ -d "/proc/$k" ] && kill -TERM "$k" 2>/dev/null || true; done
    sleep 0.3
    for k in $p $kids; do [ -d "/proc/$k" ] && grep -aq -e samba -e smbd -e winbindd "/proc/$k/comm" && kill -KILL "$k" 2>/dev/null || true; done
  fi
  rm -f "$PIDF"; echo stopped
}
descendants() { local c; for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$c"; descendants "$c"; done; }

env_lines() {
  cat <<E
AD_LDAP_URL=ldap://$IP:389
AD_LDAPS_URL=ldaps://$IP:636
AD_GC_URL=ldap://$IP:3268
AD_HOST=$DCNAME.$DNSDOM
AD_IP=$IP
AD_CA_FILE=$DIR/ca.pem
AD_BASE_DN=$BASE
AD_REALM=$REALM
AD_DOMAIN=$DOMAIN
AD_BIND_DN=CN=Administrator,CN=Users,$BASE
AD_BIND_UPN=Administrator@$DNSDOM
AD_BIND_PASSWORD=$ADMINPASS
AD_SAM_LDB=$DIR/private/sam.ldb
AD_SMB_CONF=$CONF
KRB5_CONFIG=$DIR/krb5.conf
E
}

# Keep / bring back the whole state (Samba stopped): the quick way to a loaded directory. DIR must be the same at both
# ends, since smb.conf and sam.ldb name it.
snapshot() { pid_alive && { echo "stop it first" >&2; exit 1; }; tar -C "$DIR" --sparse --xattrs --xattrs-include='*' --acls --exclude=./ncalrpc --exclude=./run --exclude='./msg.*' -cf - . | zstd -q -T2 -3 -f -o "$1"; ls -l "$1"; }
restore() { pid_alive && { echo "stop it first" >&2; exit 1; }; clear_dir; mkdir -p "$DIR"; zstd -q -dc "$1" | tar -C "$DIR" --xattrs --xattrs-include='*' --acls -xf -; }
# load FILE.ldif straight into sam.ldb with Samba stopped (some 400 users/s); needs samba-load.py beside this script
load() { provision; pid_alive && { echo "stop it first" >&2; exit 1; }; /usr/bin/python3 "$HERE/samba-load.py" --batch 300 "$CONF" "$DIR/private/sam.ldb" "$1"; }
status() { if pid_alive; then echo "running pid $(cat "$PIDF")"; env_lines; else echo "stopped"; return 3; fi; }
wipe() { stop; clear_dir; }
clear_dir() { [ -e "$DIR" ] || return 0; [ -e "$MARK" ] || { echo "$DIR was not made by this script: not removed" >&2; exit 2; }; rm -rf -- "$DIR"; }

case ${1:-} in install|provision|start|stop|status|wipe) "$1";; snapshot|restore|load) "$1" "$2";; env) env_lines;; *) sed -n '2,19p' "$0"; exit 2;; esac
