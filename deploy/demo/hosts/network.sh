# The bridge, the namespaces and the wires between them. Sourced by hosts.sh.

FREE_SUBNETS=10.78 # auto takes the first free one of 10.78.0.0/24 .. 10.78.255.0/24

subnet_taken() { [[ -n $(ip -4 route show root "$1"; ip -4 route show match "$1" | grep -v '^default') ]]; }

choose_subnet() {
    SUBNET=$WANT_SUBNET
    if [[ $SUBNET != auto ]]; then
        ! subnet_taken "$SUBNET" || die "$SUBNET overlaps a route of this machine: choose another with --subnet"
        return
    fi
    local third
    for third in $(seq 0 255); do
        SUBNET=$FREE_SUBNETS.$third.0/24
        subnet_taken "$SUBNET" || return 0
    done
    die "no free /24 in $FREE_SUBNETS.0.0/16: choose one with --subnet"
}

# A machine whose FORWARD policy is DROP (dockerd makes it so) also drops what passes a bridge,
# and a closed INPUT would keep hosts from the registry on the bridge's own address.
firewall_rules() {
    local br=$1-br note="paasta-hosts:$1"
    printf '%s\n' "FORWARD -i $br -o $br -m comment --comment $note -j ACCEPT" \
        "INPUT -i $br -m comment --comment $note -j ACCEPT"
}

open_firewall() {
    local rule
    while read -r rule; do
        # shellcheck disable=SC2086 # a rule is several words
        iptables -w 30 -C $rule 2>/dev/null || iptables -w 30 -I $rule
    done < <(firewall_rules "$PREFIX")
}

close_firewall() {
    local rule
    while read -r rule; do
        # shellcheck disable=SC2086
        while iptables -w 30 -D $rule 2>/dev/null; do :; done
    done < <(firewall_rules "$1")
}

make_bridge() {
    local br
    br=$(bridge)
    if ! ip link show "$br" >/dev/null 2>&1; then
        ip link add "$br" type bridge stp_state 0 forward_delay 0
    fi
    ip addr replace "$(gateway)/24" dev "$br"
    ip link set "$br" up
    open_firewall
}

host_exists() { [[ -e $(netns_path "$1") ]] && ip link show "$(veth "$1")" >/dev/null 2>&1; }

# The same hardware address at every boot: neighbours need not forget the old one.
mac() {
    local -a part
    IFS=. read -r -a part <<<"$(host_ip "$1")"
    printf '02:77:%02x:%02x:%02x:%02x' "${part[@]}"
}

wire_host() {
    local index=$1 name wire
    name=$(host_name "$index") wire=$(veth "$index")
    ip netns add "$name"
    ip link add "$wire" type veth peer name eth0 netns "$name"
    ip -n "$name" link set eth0 address "$(mac "$index")"
    ip -n "$name" addr add "$(host_ip "$index")/24" dev eth0
    ip -n "$name" link set lo up
    ip -n "$name" link set eth0 up
    ip link set "$wire" master "$(bridge)" up
    ip -n "$name" route add default via "$(gateway)"
}

# Removes the wire by hand: with the namespace alone it would go some time later.
unwire_host() {
    ip link del "$1-v$2" 2>/dev/null || true
    ip netns del "$1-$2" 2>/dev/null || true
}

link_state() {
    if ip -o link show "$(veth "$1")" | grep -q '[<,]UP[,>]'; then printf up; else printf cut; fi
}

set_link() {
    case $2 in
        cut) ip link set "$(veth "$1")" down ;;
        heal) ip link set "$(veth "$1")" up ;;
    esac
}

# Indices of all hosts of prefix $1 that the kernel knows of, whatever the state says.
known_indices() {
    {
        find /run/netns -maxdepth 1 -name "$1-*" -printf '%f\n' 2>/dev/null | sed "s/^$1-//"
        ip -o link show | sed -n "s/^[0-9]*: $1-v\([0-9]*\)@.*/\1/p"
    } | grep -E '^[0-9]+$' | sort -un
}

remove_network() {
    local index
    for index in $(known_indices "$1"); do unwire_host "$1" "$index"; done
    ip link del "$1-br" 2>/dev/null || true
    close_firewall "$1"
}
