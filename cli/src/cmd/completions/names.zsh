
# Names come from the cluster; where none is expected, verbs and options are completed.
_paasta_named() {
    local -a names
    if [[ "${words[CURRENT]}" != -* ]]; then
        names=("${(@f)$(paasta completions -- "${(@)words[1,CURRENT]}" 2>/dev/null)}")
        if [[ -n "${names[1]}" ]]; then
            compadd -a names
            return 0
        fi
    fi
    _paasta "$@"
}
compdef _paasta_named paasta
