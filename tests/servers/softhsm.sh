#!/usr/bin/env bash
# SoftHSM 2, a token in software, for the tests of key-encryption keys on tokens: they make tokens in folders of their own.
#   softhsm.sh install
set -euo pipefail
install() {
  command -v softhsm2-util >/dev/null || { export DEBIAN_FRONTEND=noninteractive; apt-get update -qq || true; apt-get install -y --no-install-recommends softhsm2 >/dev/null; }
  softhsm2-util --version; }
case ${1:-} in install) install;; *) sed -n '2,3p' "$0"; exit 2;; esac
