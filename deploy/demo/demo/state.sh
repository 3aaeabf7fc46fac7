# What the demo remembers between calls, and how it speaks. Sourced by demo.sh.
#
# $DEMO/mode is written first: `hosts` or `one-host`. $DEMO/ready is written last.

ROOT=$(cd "$here/../.." && pwd)
DEMO=$(realpath -m "${PAASTA_DEMO_STATE:-$ROOT/.demo}")
BIN=${CARGO_TARGET_DIR:-$ROOT/target}/debug
DEMO_SH=deploy/demo/demo.sh
EDIT_HINT="\$EDITOR $DEMO/soa/hello/marathon-SHARED.yaml"
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
    local want=hosts
    [[ $1 == no && $(id -u) -eq 0 ]] || want=one-host
    if [[ -f $DEMO/mode ]]; then
        [[ $1 == no || $(<"$DEMO/mode") == "$want" ]] ||
            die "$DEMO holds an unfinished demo with several hosts: demo.sh down first"
        say "going on with what an earlier 'demo.sh up' has left in $DEMO"
    else
        printf '%s\n' "$want" >"$DEMO/mode"
    fi
    load_demo
    mkdir -p "$DEMO"/{config,git,run,logs,data}
}

load_demo() {
    [[ -f $DEMO/mode ]] || die "the demo is not up: $DEMO_SH up"
    MODE=$(<"$DEMO/mode")
    if [[ $MODE == hosts ]]; then
        HOSTS=3 PREFIX=demo GATEWAY=10.77.0.1 REGISTRY=10.77.0.1:5000 NETWORK=10.77.0.0/24
        [[ $(id -u) -eq 0 ]] || die "this demo was started by root: use sudo"
    else
        HOSTS=1 PREFIX=demo GATEWAY=127.0.0.1 REGISTRY=paasta-demo.local NETWORK=""
    fi
    COORDINATORS=$GATEWAY:7001,$GATEWAY:7002,$GATEWAY:7003
}

load_demo_if_any() { [[ ! -f $DEMO/mode ]] || load_demo; }

paasta() { "$BIN/paasta" --config-dir "$DEMO/config" --coordinators "$COORDINATORS" "$@"; }
