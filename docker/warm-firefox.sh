#!/usr/bin/env bash
# Starts Firefox once and keeps what it prepares for its next start: its own scripts,
# compiled. Nothing of a page is in it. For `recorder --firefox-cache`.
#
#   warm-firefox.sh FOLDER
#
# Firefox itself throws it away where it is of another build, so it is made anew with
# each one.
set -euo pipefail

folder=${1:?warm-firefox.sh FOLDER}
work=$(mktemp -d)
profile=$work/profile
mkdir -- "$profile"
trap 'kill "${firefox-}" 2>/dev/null || true; rm -rf -- "$work"' EXIT
HOME=$work firefox-esr --headless --no-remote --profile "$profile" about:blank \
  >"$work/log" 2>&1 &
firefox=$!

# Written some seconds after the start, the last of them the last.
deadline=$((SECONDS + 120))
until [[ -s $profile/startupCache/scriptCache.bin && -s $profile/startupCache/startupCache.8.little &&
  -s $profile/startupCache/webext.sc.lz4 && -s $profile/compatibility.ini ]]; do
  if ((SECONDS > deadline)) || ! kill -0 "$firefox" 2>/dev/null; then
    cat -- "$work/log" >&2
    echo "error: Firefox has not written its start-up cache" >&2
    exit 1
  fi
  sleep 0.2
done
kill "$firefox"
wait "$firefox" || true

rm -rf -- "$folder"
mkdir -p -- "$folder"
cp -r -- "$profile/compatibility.ini" "$profile/startupCache" "$folder"
chmod -R a+rX -- "$folder"
