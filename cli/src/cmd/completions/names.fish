
# Names come from the cluster.
function __paasta_names
    set -l words (commandline -opc) (commandline -ct)
    string match -q -- '-*' (commandline -ct); and return
    command paasta completions -- $words 2>/dev/null
end
complete -c paasta -f -a "(__paasta_names)"
