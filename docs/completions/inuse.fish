# fish completion for inuse; made by tools/manual.py, not to be edited.
# Asks the program itself: options and verbs, and as targets the ports that are in use now, with who has them.

function __inuse_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l line (commandline -cp | string collect)
    for answer in (env COMP_WORDS=$line COMP_CWORD=(commandline -ct | string collect) \
            _INUSE_COMPLETE=fish_complete $program 2>/dev/null </dev/null)
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case plain
                echo $parts[2]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end

complete --command inuse --no-files --keep-order --arguments '(__inuse_complete)'
