
# Names come from the cluster; where none is expected, verbs and options are completed.
_paasta_named() {
    local cur="${COMP_WORDS[COMP_CWORD]}" names
    if [[ "$cur" != -* ]]; then
        names="$(paasta completions -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)"
        if [[ -n "$names" ]]; then
            mapfile -t COMPREPLY <<<"$names"
            return 0
        fi
    fi
    _paasta "$@"
}
complete -F _paasta_named -o nosort -o bashdefault -o default paasta
