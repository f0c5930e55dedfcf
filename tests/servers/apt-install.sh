#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing, and says nothing when none is.
#   apt-install.sh PACKAGE...
# A server that comes with a package is not started: the tests start their own, on loopback and without systemd.
set -euo pipefail

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "root is needed to install: ${missing[*]}" >&2; exit 2; }

# Debian's hook that forbids to start services at installation; one that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install() { apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; }
# The package lists of a fresh machine are empty or old; they are fetched only when the first try shows it.
if ! install; then
  apt-get update -qq </dev/null >/dev/null
  install || { tail -20 "$log" >&2; rm -f "$log"; exit 1; }
fi
rm -f "$log"

# Where systemd runs, the packages enable their own Samba for the next boot; nobody asked for that server.
if [ -d /run/systemd/system ]; then
  for unit in smbd nmbd winbind samba-ad-dc; do
    [[ " ${missing[*]} " == *" samba "* ]] && systemctl disable --quiet "$unit" 2>/dev/null || true
  done
fi
