
# Topics, users and keys come from the daemon that the command line selects.
function __alertctl_known
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    command $words[1] complete line -- $words[2..-1] "$current" 2>/dev/null
end
complete -c alertctl -f -n "__fish_seen_subcommand_from tail history key; and not __fish_seen_subcommand_from import" -a "(__alertctl_known)"
