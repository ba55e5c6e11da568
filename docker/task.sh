#!/usr/bin/env bash
# Runs the image as ECS does, in the foreground: with the limits of the task definition
# (deploy/), and with the environment of this process as the task's. SIGTERM goes to
# the worker, whose exit code is the one here. It must not know what the task is for.
set -euo pipefail

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")

environment=()
while IFS= read -r name; do
  case $name in
    # What the image says itself, and what only image.sh needs.
    HOME | PATH | TMPDIR | XDG_CACHE_HOME | RECORDER_MEETING_PAGE | PWD | SHLVL | _) ;;
    *) environment+=(--env "$name") ;;
  esac
done < <(compgen -e)

exec "$here/image.sh" run --rm --init --stop-timeout 120 \
  --cpus 2 --memory 4096m --shm-size 2048m \
  --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges \
  "${environment[@]}" localhost/recorder "$@"
