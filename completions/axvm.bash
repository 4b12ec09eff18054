# shellcheck shell=bash
# axvm.bash - completion for axvm; bash-completion loads it by its name.

_axvm_commands='list show create start suspend resume stop restart reset delete
    console stats wait events nmi gdb dump balloon disk net quit help shell'

_axvm_offer()
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

# The names of all VMs, of the process that the line chooses.
_axvm_vms()
{
    _axvm_offer "$(axvm "${chosen[@]}" list 2>/dev/null |
        awk 'NR > 2 { print $2 }')"
}

_axvm_options()
{
    case $1 in
        list) _axvm_offer '--all --json' ;;
        show) _axvm_offer '--full --config --stats --json' ;;
        stop | restart) _axvm_offer '--force --timeout' ;;
        delete) _axvm_offer '--force' ;;
        stats) _axvm_offer '--watch --json' ;;
        wait) _axvm_offer '--state --timeout' ;;
        events | balloon) _axvm_offer '--json' ;;
        gdb) _axvm_offer '--listen --off --exec' ;;
        disk) _axvm_offer '--force' ;;
        net) _axvm_offer '--json' ;;
    esac
}

# shellcheck disable=SC2034  # _init_completion sets more than we read
_axvm()
{
    local cur prev words cword split i command='' args=0
    local -a chosen=()
    _init_completion -s || return

    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --pid | --socket) chosen=("${words[i]}" "${words[++i]}") ;;
            --state | --timeout | --watch | --listen | -s | -t | -w | -l)
                [[ $command == show ]] || ((++i))
                ;;
            -*) ;;
            *) if [[ $command ]]; then ((++args)); else command=${words[i]}; fi ;;
        esac
    done

    case $prev in
        --socket) _filedir && return ;;
        --pid) _axvm_offer "$(pgrep -x axvm-run 2>/dev/null)" && return ;;
        --timeout | --watch) return ;;
        --listen) _axvm_offer 'unix:' && compopt -o nospace && return ;;
        --state)
            _axvm_offer 'loading loaded running suspended stopping stopped'
            return
            ;;
    esac
    ! $split || return

    if [[ ! $command ]]; then
        if [[ $cur == -* ]]; then
            _axvm_offer '--pid --socket --help --version'
        else
            _axvm_offer "$_axvm_commands"
        fi
        return
    fi
    if [[ $cur == -* ]]; then
        _axvm_options "$command"
        return
    fi
    case $command in
        help) _axvm_offer "$_axvm_commands" ;;
        create) _filedir toml ;;
        start | suspend | resume | stop | restart | reset) _axvm_vms ;;
        show | delete | balloon | stats | wait | nmi)
            ((args)) || _axvm_vms
            ;;
        console)
            case $args in
                0) _axvm_vms ;;
                1) _axvm_offer 'serial hvc0 hvc1' ;;
            esac
            ;;
        disk)
            case $args in
                0) _axvm_offer 'resize' ;;
                1) _axvm_vms ;;
            esac
            ;;
        net) if ((args)); then _axvm_offer 'up down'; else _axvm_vms; fi ;;
        dump | gdb) if ((args)); then _filedir; else _axvm_vms; fi ;;
    esac
} && complete -F _axvm axvm
