# Sourced by ./inuse and ./test, in POSIX sh.
#
# find_python [WRAPPER...]: sets $python to a Python >= 3.11, as the path of the real interpreter (not a link, a shim
# or a virtual environment, so that an upgrade of Python is seen as an interpreter that is gone). One that can make an
# environment by itself is preferred. WRAPPER is put before the command that tries each. When there is none,
# it fails and $found says in words what there was instead.
find_python() {
    python='' found=nothing
    for name in ${INUSE_PYTHON:+"$INUSE_PYTHON"} python3.13 python3.12 python3.11 python3 python3.14; do
        answer=$("$@" "$name" -I -c '
import sys
try:
    import importlib.util, os
    able = importlib.util.find_spec("ensurepip") is not None
    print("%d.%d %d %s" % (sys.version_info[0], sys.version_info[1], able, os.path.realpath(sys.executable)))
except ImportError:
    print("%d.%d 0 %s" % (sys.version_info[0], sys.version_info[1], sys.executable))
' 2>/dev/null </dev/null) || answer=''
        case $answer in
        3.1[1-9]\ * | 3.[2-9][0-9]\ *) ;;
        ?*)
            found="$name ${answer%% *}"
            continue
            ;;
        *) continue ;;
        esac
        able=${answer#* }
        [ -n "$python" ] || python=${able#* }
        if [ "${able%% *}" = 1 ] || [ "$name" = "${INUSE_PYTHON:-}" ]; then
            python=${able#* }
            return 0
        fi
    done
    [ -n "$python" ]
}
