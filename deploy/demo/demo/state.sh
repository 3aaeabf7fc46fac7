# What the demo remembers between calls, and how it speaks. Sourced by demo.sh.
#
# $DEMO/mode is written first: `hosts PREFIX SUBNET` or `one-host`. $DEMO/ready is written last.

ROOT=$(cd "$here/../.." && pwd)
DEMO=$(realpath -m "${PAASTA_DEMO_STATE:-$ROOT/.demo}")
BIN=${CARGO_TARGET_DIR:-$ROOT/target}/debug
DEMO_SH=deploy/demo/demo.sh
EDIT_HINT="\$EDITOR $DEMO/soa/hello/marathon-SHARED.yaml"
# Another demo, or another network, on the same machine.
WANT_PREFIX=${PAASTA_DEMO_PREFIX:-demo}
WANT_SUBNET=${PAASTA_DEMO_SUBNET:-10.77.0.0/24}
HEALTHY_SECONDS=60
BOUNCE_SECONDS=120
LOCK_SECONDS=180

say() { printf '%s\n' "$*"; }
step() { printf '\n[%3d s] %s\n' "$SECONDS" "$*"; }
die() { printf 'demo.sh: %s\n' "$*" >&2; exit 1; }

# Daemons never inherit this lock: they are started with descriptor 7 closed.
lock_demo() {
    mkdir -p "$DEMO"
    exec 7>"$DEMO/.lock"
    flock -w "$LOCK_SECONDS" 7 || die "another demo.sh works in $DEMO since $LOCK_SECONDS s"
}

begin() {
    if [[ -f $DEMO/mode ]]; then
        say "going on with what an earlier 'demo.sh up' has left in $DEMO"
    elif [[ $1 == yes || $(id -u) -ne 0 ]]; then
        printf 'one-host\n' >"$DEMO/mode"
    else
        printf 'hosts %s %s\n' "$WANT_PREFIX" "$WANT_SUBNET" >"$DEMO/mode"
    fi
    load_demo
    [[ $1 == no || $MODE == one-host ]] || die "$DEMO holds an unfinished demo with several hosts: demo.sh down first"
    mkdir -p "$DEMO"/{config,git,run,logs,data}
}

load_demo() {
    [[ -f $DEMO/mode ]] || die "the demo is not up: $DEMO_SH up"
    read -r MODE PREFIX NETWORK <"$DEMO/mode"
    if [[ $MODE == hosts ]]; then
        [[ $(id -u) -eq 0 ]] || die "this demo was started by root: use sudo"
        HOSTS=3 GATEWAY=${NETWORK%.0/24}.1
        REGISTRY=$GATEWAY:5000
    else
        HOSTS=1 PREFIX=demo GATEWAY=127.0.0.1 REGISTRY=paasta-demo.local NETWORK=""
    fi
    COORDINATORS=$GATEWAY:7001,$GATEWAY:7002,$GATEWAY:7003
}

load_demo_if_any() { [[ ! -f $DEMO/mode ]] || load_demo; }

# As the administrator whose files `paasta-coordinator init` has made.
paasta() {
    "$BIN/paasta" --config-dir "$DEMO/config" --coordinators "$COORDINATORS" \
        --tls-ca "$DEMO/admin/ca.pem" --tls-cert "$DEMO/admin/certificate.pem" \
        --tls-key "$DEMO/admin/key.pem" "$@"
}
