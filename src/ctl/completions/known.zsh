# Topics, users and keys come from the daemon that the command line selects. Without any, use the script generated below.
_alertctl() {
    local -a known
    known=(${(f)"$("${(Q)words[1]}" complete line -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)"})
    if (( $#known )); then
        compset -P '--*='
        compadd -a known
    else
        _alertctl_generated "$@"
    fi
}

