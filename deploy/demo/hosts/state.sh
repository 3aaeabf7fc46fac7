# What hosts.sh remembers between calls, and the names that follow from it. Sourced, not run.
#
# $STATE/network is written first and removed last, so whatever exists can be found from it.
# $CLAIMS/PREFIX says which state directory owns a prefix, so two checkouts cannot fight over one.

CLAIMS=/run/paasta-hosts
GLOBAL_LOCK=/run/paasta-hosts.lock
LOCK_SECONDS=180
# Unix socket paths end at 107 bytes; the longest one below STATE takes 47 of them.
STATE_MAX=60
HOSTS_MAX=40

say() { printf '%s\n' "$*" >&2; }
die() { printf 'hosts.sh: %s\n' "$*" >&2; exit 1; }

need_root() {
    [[ $(id -u) -eq 0 ]] || die "needs root (namespaces, bridges, dockerd): run it with sudo"
}

need_tools() {
    local tool missing=()
    for tool in ip iptables nsenter flock setsid dockerd containerd docker; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} -eq 0 ]] || die "missing: ${missing[*]}; run deploy/demo/install.sh"
}

check_request() {
    [[ $1 =~ ^[a-z][a-z0-9]{0,6}$ ]] ||
        die "prefix '$1': use 1 to 7 lower case letters and digits, a letter first"
    [[ $2 =~ ^[0-9]+$ && $2 -ge 1 && $2 -le $HOSTS_MAX ]] ||
        die "number of hosts '$2': use 1 to $HOSTS_MAX"
    [[ $STATE =~ ^/[A-Za-z0-9._/+-]+$ ]] ||
        die "state directory '$STATE': use letters, digits and . _ + - only"
    [[ -f $STATE/network || -z $(find "$STATE" -mindepth 1 -maxdepth 1 ! -name '.lock' \
        ! -name '.probe.*' ! -name registry ! -name "$1-*" ! -name 'network.new' 2>/dev/null) ]] ||
        die "$STATE holds files that are not of hosts.sh: choose an empty directory with --state"
    [[ ${#STATE} -le $STATE_MAX ]] ||
        die "state directory $STATE is longer than $STATE_MAX bytes, too long for unix sockets in it: choose a shorter one with --state"
    [[ $WANT_SUBNET == auto || $WANT_SUBNET =~ ^([0-9]{1,3}\.){3}0/24$ ]] ||
        die "subnet '$WANT_SUBNET': give a /24 such as 10.77.0.0/24, or auto"
    [[ $WANT_SUBNET != 172.31.* ]] || die "subnet 172.31.* is used for containers: take another"
}

lock_state() {
    # A down that we waited for has removed the directory with the lock in it: then once more.
    until [[ $STATE/.lock -ef /proc/self/fd/9 ]]; do
        mkdir -p "$STATE"
        exec 9>"$STATE/.lock"
        flock -w "$LOCK_SECONDS" 9 || die "another hosts.sh works on $STATE since $LOCK_SECONDS s"
    done
}

load_state() {
    [[ -f $STATE/network ]] || return 1
    local key value
    PREFIX="" COUNT="" SUBNET="" DRIVER="" LIVE_RESTORE=false
    while IFS='=' read -r key value; do
        case $key in
            prefix) PREFIX=$value ;;
            count) COUNT=$value ;;
            subnet) SUBNET=$value ;;
            driver) DRIVER=$value ;;
            live_restore) LIVE_RESTORE=$value ;;
        esac
    done <"$STATE/network"
    [[ -n $PREFIX && -n $COUNT && -n $SUBNET && -n $DRIVER ]] ||
        die "$STATE/network is damaged: remove it after checking 'ip netns' for left-overs"
}

must_load_state() { load_state || die "nothing is up in $STATE: hosts.sh up PREFIX N"; }

save_state() {
    printf '%s\n' "prefix=$PREFIX" "count=$COUNT" "subnet=$SUBNET" "gateway=$(gateway)" \
        "bridge=$(bridge)" "driver=$DRIVER" "live_restore=$LIVE_RESTORE" >"$STATE/network.new"
    mv "$STATE/network.new" "$STATE/network"
}

# Makes PREFIX ours, or finds that it is ours already (then up repairs what is missing).
claim_or_resume() {
    exec 8>"$GLOBAL_LOCK"
    flock -w "$LOCK_SECONDS" 8 || die "cannot lock $GLOBAL_LOCK"
    local owner=""
    [[ -f $CLAIMS/$1 ]] && owner=$(<"$CLAIMS/$1")
    if load_state; then
        [[ $PREFIX == "$1" && $COUNT == "$2" ]] ||
            die "$STATE holds $COUNT hosts $PREFIX: hosts.sh down first, or another --state"
        [[ $WANT_SUBNET == auto || $WANT_SUBNET == "$SUBNET" ]] ||
            die "hosts $PREFIX use $SUBNET, not $WANT_SUBNET: hosts.sh down first"
    fi
    if [[ -n $owner && ! ( $owner == "$STATE" && -f $STATE/network ) ]]; then
        [[ $owner == "$STATE" || ! -f $owner/network ]] ||
            die "prefix $1 is in use: hosts.sh down --state $owner, or take another prefix"
        say "prefix $1 was left behind by $owner: cleaning up"
        purge "$1" "$owner"
    fi
    if [[ ! -f $STATE/network ]]; then
        # shellcheck disable=SC2034 # read by the other parts
        PREFIX=$1 COUNT=$2 LIVE_RESTORE=$WANT_LIVE_RESTORE
        [[ -z $(known_indices "$PREFIX") && ! -e /sys/class/net/$(bridge) ]] ||
            die "namespaces or links called $PREFIX-* exist already and are not ours: take another prefix"
        choose_subnet
        choose_driver
        save_state
    fi
    mkdir -p "$CLAIMS"
    printf '%s\n' "$STATE" >"$CLAIMS/$PREFIX"
    # The bridge reserves the subnet; only then may another up look for a free one.
    make_bridge
    exec 8>&-
}

indices() { seq 1 "$COUNT"; }
host_name() { printf '%s-%s' "$PREFIX" "$1"; }
host_dir() { printf '%s/%s-%s' "$STATE" "$PREFIX" "$1"; }
host_ip() { printf '%s.%s' "${SUBNET%.0/24}" "$((10 + $1))"; }
gateway() { printf '%s.1' "${SUBNET%.0/24}"; }
bridge() { printf '%s-br' "$PREFIX"; }
veth() { printf '%s-v%s' "$PREFIX" "$1"; }
netns_path() { printf '/run/netns/%s-%s' "$PREFIX" "$1"; }

parse_host() {
    local index=${1#"$PREFIX"-}
    [[ $index =~ ^[0-9]+$ && $index -ge 1 && $index -le $COUNT ]] ||
        die "no host '$1': there are $PREFIX-1 .. $PREFIX-$COUNT"
    printf '%s' "$index"
}
