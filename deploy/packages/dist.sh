#!/usr/bin/env bash
# Makes what a release consists of, in target/dist/out: Debian packages, their symbols, a tarball of
# static binaries, a list of everything that is compiled in (SBOM, CycloneDX), and SHA256SUMS.
# Two runs from two directories make the same bytes: paths are mapped, times are the commit's.
#
#   dist.sh             everything
#   dist.sh --no-build  pack the binaries that an earlier run compiled
#
# PAASTA_MAINTAINER is the "Name <address>" of the packages.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
work=${PAASTA_DIST_DIR:-$root/target/dist}
target=$(rustc -vV | sed -n 's/^host: //p')
PROGRAMS=(paasta paasta-agent paasta-coordinator)
NO_MAINTAINER='The paasta authors <paasta@localhost.localdomain>'
maintainer=${PAASTA_MAINTAINER:-$NO_MAINTAINER}

say() { printf '== %s\n' "$*" >&2; }

need() {
    local missing=() pair
    for pair in dh:debhelper dpkg-buildpackage:dpkg-dev lintian:lintian git:git gcc:gcc jq:jq; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    ((${#missing[@]} == 0)) && return
    say "missing: ${missing[*]}"
    if [[ $(id -u) != 0 ]]; then
        say "install them: sudo apt-get install --no-install-recommends ${missing[*]}"
        exit 1
    fi
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

# Compiles the three programs; "static" for ones that need no library of the machine.
compile() {
    local flags="--remap-path-prefix=$root=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    local into=$work/$1
    [[ $1 != static ]] || flags+=" -C target-feature=+crt-static"
    say "compiling ($1)"
    # With --target the flags are for the programs only, not for what runs at build time.
    RUSTFLAGS=$flags CFLAGS="-ffile-prefix-map=$root=/src -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo build --profile dist --locked --target "$target" --target-dir "$into" \
        -p paasta-cli -p paasta-agent -p paasta-coordinator --bins
}

# Everything that is packed, below stage/.
stage() {
    local stage=$work/build/stage bin=$work/dynamic/$target/dist program
    rm -rf "$work/build"
    mkdir -p "$stage"/{bin,man,completions,doc,config,lib}
    for program in "${PROGRAMS[@]}"; do
        install -m 755 "$bin/$program" "$stage/bin/$program"
    done
    "$bin/paasta" man "$stage/man/paasta" >&2
    "$bin/paasta-agent" man "$stage/man/paasta-agent"
    "$bin/paasta-coordinator" man "$stage/man/paasta-coordinator"
    "$bin/paasta" completions bash >"$stage/completions/paasta.bash"
    "$bin/paasta" completions zsh >"$stage/completions/_paasta"
    "$bin/paasta" completions fish >"$stage/completions/paasta.fish"
    cp -r deploy/schemas deploy/prometheus deploy/grafana "$stage/"
    cp deploy/config/*.yaml "$stage/config/"
    cp README.md ARCHITECTURE.md SECURITY.md "$stage/doc/"
    cp CHANGELOG.md "$stage/"
    install -m 755 deploy/packages/backup.sh "$stage/lib/backup"
}

version() {
    sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml | sed 's/-/~/'
}

pack() {
    local build=$work/build out=$work/out unit
    cp -r deploy/packages/debian "$build/debian"
    sed -i "s|^Maintainer: .*|Maintainer: $maintainer|" "$build/debian/control"
    for unit in paasta-agent.service paasta-coordinator.service; do
        cp "deploy/systemd/$unit" "$build/debian/$unit"
    done
    for unit in paasta-snapshot.service paasta-snapshot.timer; do
        cp "deploy/systemd/$unit" "$build/debian/paasta-coordinator.$unit"
    done
    cat >"$build/debian/changelog" <<CHANGELOG
paasta ($(version)) unstable; urgency=medium

  * What changed is in changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
    say "packing"
    (cd "$build" && dpkg-buildpackage -b -us -uc -d >"$work/pack.log" 2>&1) || {
        tail -n 40 "$work/pack.log" >&2
        exit 1
    }
    mkdir -p "$out"
    mv "$work"/*.deb "$out/"
    rm -f "$work"/*.changes "$work"/*.buildinfo
}

tarball() {
    local name out=$work/out bin=$work/static/$target/dist program
    name=paasta-$(version)-${target%%-*}-linux
    rm -rf "${work:?}/$name"
    mkdir -p "$work/$name/bin"
    for program in "${PROGRAMS[@]}"; do
        install -m 755 "$bin/$program" "$work/$name/bin/$program"
        strip "$work/$name/bin/$program"
    done
    cp -r "$work/build/stage/"{man,completions,config,schemas,doc} "$work/$name/"
    cp -r deploy/systemd "$work/$name/"
    cp LICENSE "$work/$name/"
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
    rm -rf "${work:?}/$name"
}

# What is compiled in: name, version, licence and checksum of each crate, from the lock file.
sbom() {
    local out=$work/out/paasta-$(version).cdx.json
    cargo metadata --locked --format-version 1 --filter-platform "$target" |
        jq --arg version "$(version)" '
            ([.resolve.nodes[] | {key: .id, value: [.deps[]
                | select(any(.dep_kinds[]; .kind == null)) | .pkg]}] | from_entries) as $deps
            | ([.packages[] | {key: .id, value: .}] | from_entries) as $all
            | def reach: . as $seen
                | ([$seen[] | $deps[.][]] + $seen | unique) as $more
                | if ($more | length) == ($seen | length) then $seen else ($more | reach) end;
            ([.packages[] | select(.name == ("paasta-cli", "paasta-agent", "paasta-coordinator")
                and .source == null) | .id] | reach) as $in
            | {bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
               metadata: {component: {type: "application", name: "paasta", version: $version}},
               components: [$in[] | $all[.] | {type: "library", name, version,
                   purl: "pkg:cargo/\(.name)@\(.version)"}
                   + (if .license then {licenses: [{expression: .license}]} else {} end)]
                   | sort_by(.name, .version)}' >"$out"
}

need
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
if [[ ${1:-} != --no-build ]]; then
    compile dynamic
    compile static
fi
rm -rf "$work/out"
stage
pack
tarball
sbom
(cd "$work/out" && sha256sum -- * >SHA256SUMS)
say "checking with lintian"
unknown=()
# Without a maintainer the packages are a builder's own.
[[ $maintainer != "$NO_MAINTAINER" ]] ||
    unknown=(--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog)
lintian --fail-on error,warning "${unknown[@]}" "$work"/out/*.deb
say "done: $work/out"
ls -l "$work/out" >&2
