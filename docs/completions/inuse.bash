# bash completion for inuse; made by tools/manual.py, not to be edited.
# Asks the program itself: options and verbs, and as targets the ports that are in use now.

_inuse() {
    local type value words
    local IFS=$'\n'
    words="${COMP_WORDS[*]}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="$words" COMP_CWORD="$COMP_CWORD" _INUSE_COMPLETE=bash_complete \
        "${1/#\~\//$HOME/}" 2>/dev/null </dev/null)
}

# Ports come in their own order; bash before 4.4 can't keep it.
complete -o nosort -F _inuse inuse 2>/dev/null || complete -F _inuse inuse
