
# shellcheck shell=bash
# Topics, users and keys come from the daemon that the command line selects. Without any, use the script generated above.
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    _alertctl_known() {
        local before=${COMP_LINE:0:COMP_POINT} words known
        read -ra words <<<"$before"
        [[ $before == *[[:space:]] ]] && words+=("")
        mapfile -t known < <("$1" complete line -- "${words[@]:1}" 2>/dev/null)
        if ((${#known[@]})); then
            COMPREPLY=("${known[@]}")
        else
            _alertctl "$@"
        fi
    }
    complete -F _alertctl_known -o nosort -o bashdefault -o default alertctl
fi
