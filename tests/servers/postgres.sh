#!/usr/bin/env bash
# A PostgreSQL server below $DIR, on a loopback address and a port of its own; runs as a plain user when called as root.
# With a certificate of its own authority, so that TLS can be tested. Without fsync: it survives kill -9, not the machine.
#   postgres.sh install|start|stop|kill|status|env|wipe
#   kill: as a crash of the server: every process of it by signal 9
#   DIR (onesync-lab/pg) IP (127.0.0.1) PORT (5544) DBUSER (sync) DBPASS (sync) DBNAME (sync) RUNAS (postgres)
set -euo pipefail
DIR=${DIR:-${TMPDIR:-/tmp}/onesync-lab/pg}; IP=${IP:-127.0.0.1}; PORT=${PORT:-5544}
DBUSER=${DBUSER:-sync}; DBPASS=${DBPASS:-sync}; DBNAME=${DBNAME:-sync}; RUNAS=${RUNAS:-postgres}; export LC_ALL=C.UTF-8
case $IP in 127.*) ;; *) echo "IP must be loopback" >&2; exit 2;; esac
find_bin() { local d; for d in /usr/lib/postgresql/*/bin /usr/local/bin /usr/bin; do [ -x "$d/postgres" ] && [ -x "$d/initdb" ] && { echo "$d"; return; }; done; }
PGB=$(find_bin || true)
# postgres, initdb and pg_ctl refuse to run as root
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid="$RUNAS" --regid="$RUNAS" --init-groups env HOME="$DIR" "$@"; else "$@"; fi; }
install() {
  if [ -z "$PGB" ]; then export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; apt-get update -qq || true
    # createcluster off: the package would otherwise make and start one of its own on 5432
    mkdir -p /etc/postgresql-common; [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
    apt-get install -y --no-install-recommends postgresql >/dev/null; PGB=$(find_bin); fi
  if [ "$(id -u)" = 0 ] && ! id "$RUNAS" >/dev/null 2>&1; then useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin "$RUNAS"; fi
  "$PGB/postgres" --version; }
prepare() {
  [ -s "$DIR/data/PG_VERSION" ] && return 0
  mkdir -p "$DIR"; [ "$(id -u)" = 0 ] && chown "$RUNAS" "$DIR"; chmod 755 "$DIR"
  local pw; pw=$(mktemp); printf %s "$DBPASS" > "$pw"; chmod 644 "$pw"
  as "$PGB/initdb" -D "$DIR/data" -U "$DBUSER" --pwfile="$pw" -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync >"$DIR/initdb.log" 2>&1; rm -f "$pw"
  cat >> "$DIR/data/postgresql.conf" <<C
listen_addresses = '$IP'
port = $PORT
unix_socket_directories = '$DIR'
shared_buffers = 256MB
max_wal_size = 4GB
max_connections = 300
fsync = off
ssl = on
ssl_cert_file = '$DIR/server.crt'
ssl_key_file = '$DIR/server.key'
C
  certificate
  echo "host all all 127.0.0.0/8 scram-sha-256" >> "$DIR/data/pg_hba.conf"; }
# An authority, and a certificate by it for localhost, not for the address.
certificate() {
  local ca="$DIR/ca.key"
  as openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=OneSync test authority" -keyout "$ca" -out "$DIR/ca.crt" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
  as openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$DIR/server.key" -out "$DIR/server.csr" 2>/dev/null
  printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' | as tee "$DIR/server.ext" >/dev/null
  as openssl x509 -req -in "$DIR/server.csr" -CA "$DIR/ca.crt" -CAkey "$ca" -CAcreateserial -days 3650 \
    -extfile "$DIR/server.ext" -out "$DIR/server.crt" 2>/dev/null
  chmod 644 "$DIR/ca.crt"; as chmod 600 "$DIR/server.key"; }
up() { as "$PGB/pg_ctl" -D "$1" status >/dev/null 2>&1; }
start() { install >/dev/null; prepare; up "$DIR/data" || as "$PGB/pg_ctl" -D "$DIR/data" -l "$DIR/pg.log" -w -t 60 start >/dev/null
  PGPASSWORD=$DBPASS "$PGB/psql" -qAt -h "$IP" -p "$PORT" -U "$DBUSER" -d postgres -c "select 1 from pg_database where datname='$DBNAME'" | grep -q 1 || PGPASSWORD=$DBPASS "$PGB/createdb" -h "$IP" -p "$PORT" -U "$DBUSER" "$DBNAME"; env_lines; }
# The postmaster first, so that it starts nothing anew; by the ids that are written down and their children.
kill_() { local pid; pid=$(head -1 "$DIR/data/postmaster.pid"); local children; children=$(pgrep -P "$pid" || true); kill -9 "$pid" $children; while kill -0 "$pid" 2>/dev/null; do read -rt 0.05 <> <(:) || true; done; echo killed; }
stop() { if up "$DIR/data"; then as "$PGB/pg_ctl" -D "$DIR/data" -m fast -w stop >/dev/null; echo stopped; else echo "not running"; fi; }
env_lines() { echo "PG_URL=postgres://$DBUSER:$DBPASS@$IP:$PORT/$DBNAME"; echo "PG_CA_FILE=$DIR/ca.crt"; }
status() { if up "$DIR/data"; then echo "running pid $(head -1 "$DIR/data/postmaster.pid")"; env_lines; else echo stopped; return 3; fi; }
wipe() { stop; case $DIR in /tmp/*|/var/tmp/*) rm -rf -- "$DIR";; *) exit 2;; esac; }
case ${1:-} in install|start|stop|status|wipe) "$1";; kill) kill_;; env) env_lines;; *) sed -n '2,7p' "$0"; exit 2;; esac
