# The hosts of the demo and what runs them: several namespaces, or this machine alone. Sourced.

hosts_sh() { "$here/hosts.sh" "$@" --state "$DEMO/hosts" 7>&-; }
registry_sh() { "$here/registry.sh" "$@" --state "$DEMO/hosts" 7>&-; }

need_tools_of_demo() {
    find_cargo
    if [[ $MODE == hosts ]]; then
        local answered=no
        ! timeout 10 docker version >/dev/null 2>&1 || answered=yes
        "$here/install.sh" 7>&-
        [[ $answered == yes ]] || touch "$DEMO/started-dockerd"
        return
    fi
    local tool missing=()
    for tool in docker git curl jq make gcc flock setsid; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} -eq 0 ]] || die "missing: ${missing[*]}; as root, deploy/demo/install.sh installs them"
    timeout 10 docker version >/dev/null 2>&1 ||
        die "no dockerd answers: start it, and see that this user may use it (group docker)"
    say "one host: this machine's own dockerd (run it as root for three)"
}

# sudo drops the user's PATH, and with it a cargo that rustup has put into the home directory.
find_cargo() {
    ! command -v cargo >/dev/null || return 0
    local home
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)
    [[ -x $home/.cargo/bin/cargo ]] || die "cargo is not in PATH: install Rust (https://rustup.rs)"
    export PATH=$home/.cargo/bin:$PATH CARGO_HOME=$home/.cargo RUSTUP_HOME=$home/.rustup
}

# Without what cargo tells a test about its package: build scripts depend on it, and dependencies
# would be built anew.
build() (
    cd "$ROOT"
    unset "${!CARGO_PKG_@}" "${!CARGO_MANIFEST_@}"
    cargo build --quiet --workspace --locked --bins
)

bring_up_machines() {
    if [[ $MODE == hosts ]]; then
        step "starting $HOSTS hosts, each a network namespace with its own dockerd"
        hosts_sh up "$PREFIX" "$HOSTS" --subnet "$NETWORK"
        step "starting an image registry on $REGISTRY"
        registry_sh up
    fi
}

docker_socket() {
    if [[ $MODE == hosts ]]; then
        printf '%s' "$DEMO/hosts/$PREFIX-$1/docker.sock"
        return
    fi
    local url
    url=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}
    case $url in
        unix://*) printf '%s' "${url#unix://}" ;;
        "") printf '/var/run/docker.sock' ;;
        *) die "the dockerd at $url is not on this machine: unset DOCKER_HOST or choose another context" ;;
    esac
}

host_address() {
    if [[ $MODE == hosts ]]; then printf '%s.%s' "${NETWORK%.0/24}" $((10 + $1)); else printf '127.0.0.1'; fi
}

host_is_on() { [[ $MODE != hosts ]] || ip link show "$PREFIX-v$1" >/dev/null 2>&1; }

take_down_machines() {
    if [[ ${MODE:-} == one-host ]]; then remove_own_containers; fi
    if [[ -d $DEMO/hosts ]]; then hosts_sh down; fi
    if [[ -f $DEMO/started-dockerd ]]; then "$here/docker.sh" down 7>&-; fi
}

# On the machine's own dockerd only what carries the demo's host id, and the images it built.
remove_own_containers() {
    local ids images
    ids=$(docker ps -aq --filter "label=paasta_host=$PREFIX-1")
    # shellcheck disable=SC2086 # several ids
    [[ -z $ids ]] || docker rm -f $ids >/dev/null
    images=$(docker images -q --filter "reference=$REGISTRY/services-hello" | sort -u)
    # shellcheck disable=SC2086
    [[ -z $images ]] || docker rmi -f $images >/dev/null
}

host_hints() {
    [[ $MODE == hosts ]] || return 0
    cat <<TEXT
  deploy/demo/hosts.sh kill-host $PREFIX-2    # power loss: its replicas come up elsewhere
  deploy/demo/hosts.sh start-host $PREFIX-2 && $DEMO_SH up    # power on, agent started again
TEXT
}
