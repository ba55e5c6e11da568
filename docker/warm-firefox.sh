#!/usr/bin/env bash
# Starts Firefox once and keeps what it prepares for its next start: its own scripts,
# compiled. Nothing of a page is in it. For `recorder --firefox-cache`.
#
#   warm-firefox.sh FOLDER
#
# Makes the FOLDER, or replaces the one that it made before. Firefox itself throws away
# what is of another build, so it is made anew with each one.
set -euo pipefail

folder=${1:?warm-firefox.sh FOLDER}
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
# Only what was made here is ever removed.
[[ ! -e $folder || -e $folder/compatibility.ini ]] || [[ -z $(ls -A -- "$folder") ]] ||
  fail "$folder is not empty, and not what this script makes"
mkdir -p -- "$(dirname -- "$folder")"

work=$(mktemp -d)
new=$(mktemp -d "$folder.XXXXXX")
profile=$work/profile
mkdir -- "$profile"
firefox=
# shellcheck disable=SC2317,SC2329
clear_away() {
  [[ -z $firefox ]] || { kill "$firefox" && wait "$firefox"; } 2>/dev/null || true
  rm -rf -- "$work" "$new"
}
trap clear_away EXIT
# As the recorder starts it: without what a session of somebody else left behind, and
# without namespaces, which a container may not have.
env -i PATH="$PATH" HOME="$work" TMPDIR="$work" MOZ_ASSUME_USER_NS=0 \
  firefox-esr --headless --no-remote --profile "$profile" about:blank >"$work/log" 2>&1 &
firefox=$!

# Written some seconds after the start.
deadline=$((SECONDS + 120))
until [[ -s $profile/startupCache/scriptCache.bin && -s $profile/startupCache/startupCache.8.little &&
  -s $profile/startupCache/webext.sc.lz4 && -s $profile/compatibility.ini ]]; do
  if ((SECONDS > deadline)) || ! kill -0 "$firefox" 2>/dev/null; then
    cat -- "$work/log" >&2
    fail "Firefox has not written its start-up cache"
  fi
  sleep 0.2
done
kill "$firefox"
wait "$firefox" || true
firefox=

cp -r -- "$profile/startupCache" "$profile/compatibility.ini" "$new"
chmod -R a+rX -- "$new"
rm -rf -- "$folder"
mv -T -- "$new" "$folder"
