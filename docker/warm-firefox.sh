#!/usr/bin/env bash
# Starts Firefox once and keeps its profile, in which it finds at its next start what it
# otherwise makes anew: its own scripts, compiled, and its databases, filled. Nothing of a
# page is in it. For `recorder --firefox-cache`.
#
#   warm-firefox.sh FOLDER PREFERENCES
#
# Makes the FOLDER, or replaces the one that it made before, with the PREFERENCES of the
# recorder, src/browser/preferences.js. It is to be made with the Firefox that it is for:
# that throws away scripts of another build, and takes the rest as it is.
set -euo pipefail

usage='warm-firefox.sh FOLDER PREFERENCES'
folder=${1:?$usage} preferences=${2:?$usage}
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
# Only what was made here is ever removed, and it has this file.
[[ ! -e $folder || -e $folder/made ]] || [[ -z $(ls -A -- "$folder") ]] ||
  fail "$folder is not empty, and not what this script makes"
mkdir -p -- "$(dirname -- "$folder")"

work=$(mktemp -d)
new=$(mktemp -d "$folder.XXXXXX")
profile=$work/profile
firefox=
# shellcheck disable=SC2317,SC2329
clear_away() {
  [[ -z $firefox ]] || { kill "$firefox" && wait "$firefox"; } 2>/dev/null || true
  rm -rf -- "$work" "$new"
}
trap clear_away EXIT
mkdir -- "$profile"
cp -- "$preferences" "$profile/user.js"
# As the recorder starts it: without what a session of somebody else left behind, and
# without namespaces, which a container may not have.
env -i PATH="$PATH" HOME="$work" TMPDIR="$work" MOZ_ASSUME_USER_NS=0 \
  firefox-esr --headless --no-remote --profile "$profile" about:blank >"$work/log" 2>&1 &
firefox=$!

# Written some seconds after the start. What is not there by then each recording makes.
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

# Without what belongs to one run of Firefox, what tells one profile from another, and
# the preferences that the recorder sets itself: it may set others by then.
(
  cd -- "$profile"
  grep -o '^user_pref("[^"]*",' user.js | grep -vFf - prefs.js >prefs.kept
  mv -- prefs.kept prefs.js
  rm -rf -- user.js lock .parentlock .startup-incomplete sessionCheckpoints.json sessionstore* \
    crashes minidumps cache2 datareporting times.json xulstore.json \
    cert9.db key4.db logins.db pkcs11.txt
)
cp -r -- "$profile/." "$new"
touch -- "$new/made"
chmod -R a+rX -- "$new"
rm -rf -- "$folder"
mv -T -- "$new" "$folder"
