# shellcheck shell=bash
# axvm-run.bash - completion for axvm-run; bash-completion loads it by its name.

# Words that end in a colon are prefixes: a path or so follows.
_axvm_run_words()
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
    [[ ${COMPREPLY-} != *: ]] || compopt -o nospace
}

_axvm_run_path()
{
    cur=${cur#*:}
    _filedir
}

# shellcheck disable=SC2034  # _init_completion sets more than we read
_axvm_run()
{
    local cur prev words cword split arg
    _init_completion -s -n : || return

    case $prev in
        --set | --timeout | --append | --cpus | --memory | --name | --run | \
            --vsock) return ;;
        --log-file | --pidfile | --kernel | --initrd | --disk)
            _filedir && return
            ;;
        --share | --root | --modules) _filedir -d && return ;;
        --net) _axvm_run_words 'user tap socket passt none' && return ;;
        --virtio) _axvm_run_words 'mmio pci' && return ;;
        --control) _axvm_run_words none && _filedir && return ;;
        --log-level) _axvm_run_words 'off error warn info debug' && return ;;
        --gdb-on) _axvm_run_words 'crash reset poweroff' && return ;;
        --gdb)
            ! $split || case $cur in
                unix:*) _axvm_run_path ;;
                *) _axvm_run_words '1234 unix:' ;;
            esac
            ;; # its value is optional
        --trace)
            case $cur in
                exits:*) _axvm_run_path ;;
                *) _axvm_run_words 'exits exits:' ;;
            esac
            return
            ;;
        --console)
            case $cur in
                unix:* | file:*) _axvm_run_path ;;
                *) _axvm_run_words 'stdio pty none unix: file:' ;;
            esac
            return
            ;;
        --stats) ! $split || { _filedir && return; } ;; # its value is optional
    esac
    ! $split || return

    if [[ $cur == -* ]]; then
        _axvm_run_words '--demo --kernel --initrd --append --disk --net --share
            --vsock --virtio --cpus --memory --name --run --root --modules
            --set --lenient --strict --dump-config
            --console --shell --linger --control --pidfile --gdb --gdb-wait
            --gdb-on --timeout --stats
            --trace --log-level --log-file --help --usage --version'
        return
    fi

    # A command can only be the first argument.
    _get_first_arg
    [[ -n $arg && $arg != "$cur" ]] || _axvm_run_words 'check probe'
    [[ $arg == probe ]] || _filedir toml
} && complete -F _axvm_run axvm-run
